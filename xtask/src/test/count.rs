//! How many tests ran, passed and failed, by what the test programs say in the end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::Outcome;
use crate::run::Task;

#[derive(Debug, Default)]
pub(super) struct Count {
    passed: usize,
    failed: usize,
    /// Those that passed only when they were run once more.
    unsteady: Vec<String>,
}

impl Count {
    /// Runs tests, shows their output as it comes, counts them, and returns the names of those that failed.
    pub(super) fn run(&mut self, task: Task) -> Outcome<Vec<String>> {
        let words = task.words();
        println!("\n$ {words}");
        let mut child = task
            .command()
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{words}: {error}"))?;
        let mut reader = Reader::default();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                println!("{line}");
                reader.read(&line);
            }
        }
        self.passed += reader.passed;
        self.failed += reader.failed;
        let status = child.wait()?;
        if !status.success() && reader.failed == 0 {
            // Not one test failed, and yet it did: it did not build, or it died.
            self.failed += 1;
            eprintln!("{words}: {status}");
        }
        Ok(reader.names)
    }

    /// How many ran.
    pub(super) fn total(&self) -> usize {
        self.passed + self.failed
    }

    /// A test that had failed is run once more, and counts as passed if it does now.
    pub(super) fn run_again(&mut self, name: &str, task: Task) -> Outcome {
        let mut second = Self::default();
        second.run(task)?;
        if second.failed == 0 && second.passed > 0 {
            self.failed -= 1;
            self.passed += 1;
            self.unsteady.push(name.to_owned());
        }
        Ok(())
    }

    /// The closing lines.
    pub(super) fn close(&self) -> Outcome {
        for name in &self.unsteady {
            println!("*** FAILED ONCE, passed when run once more: {name} ***");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed > 0 {
            Err(format!("{} tests failed", self.failed).into())
        } else {
            Ok(())
        }
    }
}

/// Reads what a test program prints.
#[derive(Debug, Default)]
struct Reader {
    passed: usize,
    failed: usize,
    names: Vec<String>,
    /// Within the list of those that failed.
    lists: bool,
}

impl Reader {
    fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += number_before(rest, " passed");
            self.failed += number_before(rest, " failed");
            self.lists = false;
        } else if line == "failures:" {
            self.lists = true;
        } else if let (true, Some(name)) = (self.lists, line.strip_prefix("    "))
            && !name.contains(' ')
            && !self.names.iter().any(|known| known == name)
        {
            self.names.push(name.to_owned());
        }
    }
}

fn number_before(text: &str, what: &str) -> usize {
    let before = text.split(what).next().unwrap_or_default();
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_program_s_last_lines_are_understood() {
        let mut reader = Reader::default();
        let said = "running 3 tests\n\
                    test a::b ... ok\n\
                    failures:\n\
                    \n\
                    ---- a::c stdout ----\n    said with four spaces\n\
                    \n\
                    failures:\n    a::c\n    a::d\n\
                    \n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n    no::name";
        said.lines().for_each(|line| reader.read(line));
        assert_eq!((reader.passed, reader.failed), (1, 2));
        assert_eq!(reader.names, ["a::c", "a::d"]);
    }
}

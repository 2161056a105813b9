//! The program that watches over one host of a lab; see `lab::lab_host_main`. Nobody runs it by hand.

fn main() -> std::process::ExitCode {
    lab::lab_host_main()
}

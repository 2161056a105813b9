//! Bootstrap tokens: what a worker proves itself with, once.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A new random token, as `abcdef.0123456789abcdef`.
///
/// # Panics
/// When the kernel has no random bytes, without which nothing here is safe.
#[must_use]
pub(crate) fn draw() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0; 22];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    let text: String = bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect();
    format!("{}.{}", &text[..6], &text[6..])
}

/// Id and secret of a token; `None` if it is none.
#[must_use]
pub(crate) fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some((id, secret))
}

/// When a token that is made now ends, in RFC 3339.
#[must_use]
pub(crate) fn end(now: SystemTime, ttl: Duration) -> String {
    let end = OffsetDateTime::from(now + ttl)
        .replace_nanosecond(0)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    end.format(&Rfc3339).unwrap_or_default()
}

/// The Secret that makes a token valid, for joining nodes alone.
#[must_use]
pub(crate) fn secret(id: &str, secret: &str, end: &str, description: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "stringData": {
            "token-id": id,
            "token-secret": secret,
            "expiration": end,
            "description": description,
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    })
}

/// The path in the API of the token's Secret.
#[must_use]
pub(crate) fn path(id: &str) -> String {
    format!("/api/v1/namespaces/kube-system/secrets/bootstrap-token-{id}")
}

/// `15m`, `24h`, `1h30m`, `90s` as a duration; at most a year.
///
/// # Errors
/// What it is not, in words.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("not a duration such as 15m or 24h: {text:?}");
    let (mut seconds, mut digits) = (0u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            _ => return Err(bad()),
        };
        let number: u64 = digits.parse().map_err(|_| bad())?;
        seconds = number
            .checked_mul(unit)
            .and_then(|more| seconds.checked_add(more))
            .ok_or_else(bad)?;
        digits.clear();
    }
    let whole = digits.is_empty() && seconds > 0 && seconds <= 366 * 86400;
    if whole {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_tokens() {
        let token = draw();
        assert!(parts(&token).is_some(), "{token}");
        assert_ne!(token, draw());
        for bad in [
            "",
            "abcdef",
            "abcdef.short",
            "ABCDEF.0123456789abcdef",
            "abcde/.0123456789abcdef",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for bad in ["", "15", "m", "15x", "0s", "99999999999999999999d", "400d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(
            end(SystemTime::UNIX_EPOCH, Duration::from_secs(60)),
            "1970-01-01T00:01:00Z"
        );
    }
}

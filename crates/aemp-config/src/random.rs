//! Random texts for names and secrets.

use super::ConfigError;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A text of `len` random letters and digits (5.95 bits each) from the operating system's
/// generator.
///
/// # Errors
///
/// The operating system has no random numbers.
pub fn random_text(len: usize) -> Result<String, ConfigError> {
    let mut text = String::with_capacity(len);
    let mut bytes = [0u8; 64];
    while text.len() < len {
        getrandom::fill(&mut bytes).map_err(ConfigError::Random)?;
        // 248 is the largest multiple of 62 in a byte: what lies above would make some digits
        // likelier.
        let digits = bytes.iter().filter(|&&byte| byte < 248).map(|byte| DIGITS[usize::from(byte % 62)]);
        text.extend(digits.take(len - text.len()).map(char::from));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_length_and_differ() {
        assert_eq!(random_text(0).unwrap(), "");
        let (one, other) = (random_text(180).unwrap(), random_text(180).unwrap());
        assert_eq!(one.len(), 180);
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(one, other);
    }
}

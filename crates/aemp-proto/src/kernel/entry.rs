//! What may stand in the shared database: the names of families, and how large an entry is.

use thiserror::Error;

use super::KernelLimits;
use crate::Value;
use crate::db::fit::check_form;
use crate::db::size::size;
use crate::wire::EncodeError;

/// The most bytes of the name of a family.
pub const FAMILY_NAME_MAX: usize = 1024;

/// Why a program cannot set this entry of the shared database.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Families that begin with `'` belong to the network itself.
    #[error(
        "the database family {0:?} belongs to the network itself: choose a name that does not begin with '"
    )]
    Reserved(String),
    /// The name of the family is empty, or too long.
    #[error("the name of the database family has {0} bytes: choose one of 1 to {FAMILY_NAME_MAX}")]
    FamilyName(usize),
    /// Key and value are too large.
    #[error(
        "the database entry {key:?} of {family:?} has {size} bytes, and the limit is {limit}: the database is a directory; \
         put there where the data can be found"
    )]
    TooLarge {
        /// The family.
        family: String,
        /// The beginning of the subkey.
        key: String,
        /// Bytes of subkey and value.
        size: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The value has no wire form.
    #[error("the value of the database entry {key:?} of {family:?} cannot be sent to other nodes: {error}")]
    NoForm {
        /// The family.
        family: String,
        /// The beginning of the subkey.
        key: String,
        /// Why not.
        #[source]
        error: EncodeError,
    },
}

/// Checks the name of a family that a program reads: its own ones, and those of the network.
///
/// # Errors
///
/// [`EntryError::FamilyName`]: nothing can be in a family with this name.
pub fn check_family_name(family: &str) -> Result<(), EntryError> {
    match family.len() {
        1..=FAMILY_NAME_MAX => Ok(()),
        length => Err(EntryError::FamilyName(length)),
    }
}

/// Checks the name of a family into which a program puts entries.
///
/// # Errors
///
/// [`EntryError::FamilyName`] or [`EntryError::Reserved`].
pub fn check_own_family(family: &str) -> Result<(), EntryError> {
    check_family_name(family)?;
    match family.starts_with('\'') {
        true => Err(EntryError::Reserved(family.into())),
        false => Ok(()),
    }
}

/// Checks an entry that a program sets.
///
/// # Errors
///
/// The family cannot be used, the entry is too large, or the value has no wire form.
pub fn check_entry(family: &str, key: &str, value: &Value, limits: &KernelLimits) -> Result<(), EntryError> {
    check_own_family(family)?;
    let (size, limit) = (key.len() + size(value), limits.entry());
    let beginning = || key.chars().take(64).collect();
    if size <= limit {
        let form = check_form(value);
        return form.map_err(|error| EntryError::NoForm { family: family.into(), key: beginning(), error });
    }
    let key = beginning();
    Err(EntryError::TooLarge { family: family.into(), key, size, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_names_a_family_unless_it_is_the_networks_own() {
        for good in
            ["workers", "A::b_2", "my-service", "2x", "a b", "größe", "a#b", "%", "a'b", &"x".repeat(1024)]
        {
            assert_eq!(check_own_family(good), Ok(()), "{good}");
        }
        for bad in ["'l", "'", "'anything"] {
            assert_eq!(check_own_family(bad), Err(EntryError::Reserved(bad.into())));
            assert_eq!(check_family_name(bad), Ok(()), "programs may read {bad}");
        }
        for bad in [String::new(), "x".repeat(1025)] {
            assert_eq!(check_family_name(&bad), Err(EntryError::FamilyName(bad.len())));
        }
    }

    #[test]
    fn an_entry_is_as_large_as_its_key_and_its_value() {
        let limits = KernelLimits { entry_bytes: 20, ..KernelLimits::default() };
        assert_eq!(check_entry("f", "12345", &Value::name("0123456789"), &limits), Ok(()));
        let error = check_entry("f", "123456", &Value::name("0123456789"), &limits).unwrap_err();
        assert!(matches!(error, EntryError::TooLarge { size: 21, limit: 20, .. }), "{error}");
        let error = check_entry("f", "k", &Value::Int(1 << 64), &limits).unwrap_err();
        assert!(matches!(error, EntryError::NoForm { .. }), "{error}");
    }
}

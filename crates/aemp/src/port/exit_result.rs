//! How code of ports ends.

use aemp_proto::Reason;

/// How the code of an async port ends: `Ok` is a normal death, and an error is the reason of an
/// abnormal one. `?` makes a `die, TEXT` of any error.
pub type ExitResult = Result<(), Reason>;

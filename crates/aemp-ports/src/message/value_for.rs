//! What may stand in a tuple for what is expected there.

use aemp_proto::{Addr, PortId};

/// What may stand in a tuple where a `T` is expected: a `T`, a reference to one, and the borrowed
/// forms of texts and lists.
pub trait ValueFor<T>: Value<T> {}

impl<S: Value<T>, T> ValueFor<T> for S {}

/// Implemented here, and for what `aemp` has, alone.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot be sent where a `{T}` is expected",
    note = "anything may be sent to the port ID, `addr.port()`; it is checked when it arrives"
)]
pub trait Value<T> {}
impl<T> Value<T> for T {}
impl<T> Value<T> for &T {}
impl Value<String> for &str {}
impl<T> Value<Vec<T>> for &[T] {}
impl<T, const N: usize> Value<Vec<T>> for [T; N] {}
impl<T, const N: usize> Value<Vec<T>> for &[T; N] {}
impl<M> Value<PortId> for Addr<M> {}
impl<M> Value<PortId> for &Addr<M> {}

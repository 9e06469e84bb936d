//! Arrays: order and equality by a function of the script. The package goes on after an error, and
//! builds its text for each pair.

use std::cmp::Ordering;

use rhai::{Array, Dynamic, Engine, FnPtr, NativeCallContext};

use crate::run::Fault;

type Cx<'a> = NativeCallContext<'a>;

pub(super) fn register(engine: &mut Engine) {
    for name in ["sort", "sort_by"] {
        engine.register_fn(name, |cx: Cx<'_>, array: &mut Array, by: FnPtr| {
            *array = sorted(&cx, array.clone(), &by)?;
            Ok::<_, Fault>(())
        });
    }
    for name in ["order", "order_by"] {
        engine.register_fn(name, |cx: Cx<'_>, array: Array, by: FnPtr| sorted(&cx, array, &by));
    }
    engine
        .register_fn("dedup", |cx: Cx<'_>, array: &mut Array, by: FnPtr| dedup(&cx, array, &by))
        // The name of a function.
        .register_fn("sort", |cx: Cx<'_>, array: &mut Array, by: &str| {
            *array = sorted(&cx, array.clone(), &FnPtr::new(by)?)?;
            Ok::<_, Fault>(())
        })
        .register_fn("dedup", |cx: Cx<'_>, array: &mut Array, by: &str| dedup(&cx, array, &FnPtr::new(by)?));
}

/// Sorts by merging; the recursion is as deep as the number of values has digits in binary.
fn sorted(cx: &Cx<'_>, mut left: Array, by: &FnPtr) -> Result<Array, Fault> {
    if left.len() < 2 {
        return Ok(left);
    }
    let right = left.split_off(left.len() / 2);
    let (left, right) = (sorted(cx, left, by)?, sorted(cx, right, by)?);
    let mut all = Array::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let next = if compare(cx, one, other, by)?.is_gt() { right.next() } else { left.next() };
        all.extend(next);
    }
    all.extend(left.chain(right));
    Ok(all)
}

/// The function gives a number, below, equal to or above 0, or whether the first value comes first.
fn compare(cx: &Cx<'_>, one: &Dynamic, other: &Dynamic, by: &FnPtr) -> Result<Ordering, Fault> {
    let order = by.call_raw(cx, None, [one.clone(), other.clone()])?;
    match (order.as_int(), order.as_bool()) {
        (Ok(number), _) => Ok(number.cmp(&0)),
        (_, Ok(first)) => Ok(if first { Ordering::Less } else { Ordering::Greater }),
        _ => Err("a function to sort by has to give a number or a truth value".into()),
    }
}

/// Leaves the first of values that follow each other and are equal.
fn dedup(cx: &Cx<'_>, array: &mut Array, by: &FnPtr) -> Result<(), Fault> {
    let mut kept = Array::new();
    for value in array.iter() {
        let equal = match kept.last() {
            None => false,
            Some(last) => by.call_raw(cx, None, [last.clone(), value.clone()])?.as_bool().unwrap_or(false),
        };
        if !equal {
            kept.push(value.clone());
        }
    }
    *array = kept;
    Ok(())
}

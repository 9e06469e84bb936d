//! Any value there and back.

use aemp::Value;
use proptest::prelude::*;
use rhai::{Dynamic, Engine, FnPtr};

use super::*;

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<i128>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        any::<String>().prop_map(Value::Text),
        "[ -~]{0,9}".prop_map(|text| Value::Bytes(text.into_bytes().into())),
        any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
    ]
}

/// Values with maps whose keys have the form in which scripts give them back.
fn plain() -> impl Strategy<Value = Value> {
    scalars().prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| {
                Value::Map(map.into_iter().map(|(key, value)| (Value::name(&key), value)).collect())
            }),
        ]
    })
}

/// Any values, no matter what the keys of their maps.
fn any_value() -> impl Strategy<Value = Value> {
    scalars().prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::Map),
            (any::<u64>(), inner).prop_map(|(tag, value)| Value::Tag(tag, Box::new(value))),
        ]
    })
}

/// The value with each key of a map that is a name spelled as a script spells it.
fn renamed(value: &Value) -> Value {
    match value {
        Value::List(values) => Value::List(values.iter().map(renamed).collect()),
        Value::Map(entries) => match names(entries) {
            Some(keys) => {
                let values = entries.iter().map(|(_, value)| renamed(value));
                Value::Map(keys.iter().map(|key| Value::name(key)).zip(values).collect())
            }
            None => value.clone(),
        },
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn plain_values_come_back_as_they_were(value in plain()) {
        let inside = from_wire(&value, &Limits::default()).unwrap();
        prop_assert_eq!(to_wire(&inside).unwrap(), value);
    }

    #[test]
    fn of_any_value_only_the_spelling_of_keys_changes(value in any_value()) {
        let inside = from_wire(&value, &Limits::default()).unwrap();
        prop_assert_eq!(to_wire(&inside).unwrap(), renamed(&value));
    }

    #[test]
    fn what_is_taken_in_is_within_the_limits(value in any_value(), items in 1usize..40, text in 1usize..40) {
        let limits = Limits { items, text, ..Limits::default() };
        let mut engine = Engine::new_raw();
        engine.set_max_array_size(items).set_max_map_size(items).set_max_string_size(text);
        if let Ok(inside) = from_wire(&value, &limits) {
            prop_assert!(engine.ensure_data_size_within_limits(&inside).is_ok());
        }
    }

    #[test]
    fn a_value_weighs_at_least_its_content(text in any::<String>(), bytes in any::<Vec<u8>>(), copies in 0usize..9) {
        let one = Dynamic::from_array(vec![text.clone().into(), Dynamic::from_blob(bytes.clone())]);
        let all = Dynamic::from_array(vec![one; copies]);
        prop_assert!(weigh(&all).unwrap() >= copies * (text.len() + bytes.len()));
    }
}

#[test]
fn strings_of_peers_are_strings_of_scripts() {
    let inside = from_wire(&Value::name("join"), &Limits::default()).unwrap();
    assert_eq!(inside.as_immutable_string_ref().unwrap().as_str(), "join");
    assert!(from_wire(&Value::Bytes(vec![0xe9].into()), &Limits::default()).unwrap().is_blob());
}

#[test]
fn functions_are_not_data() {
    let function = Dynamic::from(FnPtr::new("f").unwrap());
    assert!(matches!(to_wire(&function), Err(ValueError::NotData(_))));
    assert_eq!(to_wire_or_text(&function), Value::Text("Fn(f)".into()));
}

#[test]
fn captured_values_have_weight() {
    let mut function = FnPtr::new("f").unwrap();
    function.add_curry("x".repeat(1000).into());
    assert!(weigh(&Dynamic::from(function)).unwrap() > 1000);
}

#[test]
fn depth_is_limited_in_both_directions() {
    let mut deep = Value::Null;
    let mut inside = Dynamic::UNIT;
    for _ in 0..DEPTH {
        deep = Value::List(vec![deep]);
        inside = Dynamic::from_array(vec![inside]);
    }
    assert_eq!(from_wire(&deep, &Limits::default()).unwrap_err(), ValueError::TooDeep);
    assert_eq!(to_wire(&inside).unwrap_err(), ValueError::TooDeep);
    assert_eq!(weigh(&inside).unwrap_err(), ValueError::TooDeep);
}

/// What the allocator says that this takes.
fn measured<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = crate::allocated();
    let made = make();
    (made, usize::try_from(crate::allocated() - before).unwrap() + size_of::<Dynamic>())
}

#[test]
fn what_a_value_weighs_is_what_it_takes() {
    type Make = fn() -> Dynamic;
    let numbers = || Dynamic::from_array((0..5000_i64).map(Into::into).collect());
    let makers: [(&str, Make); 12] = [
        ("number", || 5_i64.into()),
        ("short text", || "x".into()),
        ("text", || "x".repeat(1000).into()),
        ("long text", || "x".repeat(1 << 20).into()),
        ("array", || Dynamic::from_array((0..5000_i64).map(Into::into).collect())),
        ("array that has grown", || {
            let mut values = rhai::Array::new();
            (0..5000_i64).for_each(|n| values.push(n.into()));
            values.into()
        }),
        ("texts", || {
            Dynamic::from_array((0..5000).map(|n| format!("a text with a number: {n}").into()).collect())
        }),
        ("small arrays", || {
            Dynamic::from_array((0..5000_i64).map(|n| Dynamic::from_array(vec![n.into()])).collect())
        }),
        ("map", || (0..5000_i64).map(|n| (n.to_string().into(), n.into())).collect::<Map>().into()),
        ("small maps", || {
            Dynamic::from_array(
                (0..500_i64).map(|n| Map::from_iter([("x".into(), n.into())]).into()).collect(),
            )
        }),
        ("long keys", || {
            (0..500).map(|n| (format!("{n}{}", "x".repeat(99)).into(), ().into())).collect::<Map>().into()
        }),
        ("blob", || Dynamic::from_blob(vec![7; 5000])),
    ];
    for (what, make) in makers {
        let (value, takes) = measured(make);
        let weighs = weigh(&value).unwrap();
        assert!(takes <= weighs + weighs / 4, "{what} takes {takes} and weighs {weighs}");
        assert!(weighs <= 2 * takes + 600, "{what} takes {takes} and weighs {weighs}");
    }
    let captured = numbers();
    let (function, takes) = measured(|| {
        let mut function = FnPtr::new("a_function_with_a_long_name").unwrap();
        function.add_curry(captured.clone());
        Dynamic::from(function)
    });
    let weighs = weigh(&function).unwrap();
    assert!(takes <= weighs + weighs / 4, "a function takes {takes} and weighs {weighs}");
}

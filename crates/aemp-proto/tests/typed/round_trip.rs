//! What was written is read as the same again.

use std::collections::BTreeMap;
use std::fmt::Debug;

use aemp_proto::typed::{Variants, encode_into, from_body, from_body_tagged, to_body, to_body_tagged};
use aemp_proto::{AnyMessage, Body, NodeId, PortId, Reason, Value};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> Result<(), TestCaseError> {
    let body = to_body(value).unwrap();
    let back: T = from_body(&body).unwrap();
    prop_assert_eq!(&back, value);
    // The same within something, where strings have another form.
    let nested = to_body(&(0u8, vec![value])).unwrap();
    let (_, back): (u8, Vec<T>) = from_body(&nested).unwrap();
    prop_assert_eq!(&back[0], value);
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    score: f64,
    ratio: f32,
    letter: char,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    tags: Vec<String>,
    counts: BTreeMap<i16, bool>,
    named: BTreeMap<String, i128>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Number(i64),
    Pair(Box<Tree>, Box<Tree>),
    Named { name: String, inner: Box<Tree> },
}

const TREE: Variants = Variants {
    tags: &[("Leaf", "leaf"), ("Number", "number"), ("Pair", "pair"), ("Named", "Ã©")],
    other: None,
    optional: &[],
};

/// Strings with many code points around the borders between ASCII, Latin-1 and the rest.
fn strings() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,3}", "[\u{80}-\u{ff}]{0,4}", "[aÃ©€]{0,4}", any::<String>()]
}

fn records() -> impl Strategy<Value = Record> {
    let integers = -(1i128 << 64)..(1i128 << 64);
    let parts = (
        any::<u64>(),
        any::<f64>(),
        any::<f32>(),
        any::<char>(),
        option::of(strings()),
        vec(strings(), 0..4),
        btree_map(any::<i16>(), any::<bool>(), 0..4),
        btree_map(strings(), integers, 0..4),
    );
    parts.prop_map(|(id, score, ratio, letter, note, tags, counts, named)| Record {
        id,
        score,
        ratio,
        letter,
        note,
        tags,
        counts,
        named,
    })
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![Just(Tree::Leaf), any::<i64>().prop_map(Tree::Number)];
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::Pair(Box::new(a), Box::new(b))),
            (strings(), inner).prop_map(|(name, inner)| Tree::Named { name, inner: Box::new(inner) }),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-(1i128 << 64)..(1i128 << 64)).prop_map(Value::Int),
        (-300i128..300).prop_map(Value::Int),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        any::<f32>().prop_map(|number| Value::Float(number.into())),
        strings().prop_map(Value::Text),
        vec(any::<u8>(), 0..6).prop_map(|bytes| Value::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Map),
            (any::<u64>(), inner).prop_map(|(number, content)| Value::Tag(number, Box::new(content))),
        ]
    })
}

proptest! {
    #[test]
    fn records_survive(record in records()) {
        survives(&record)?;
    }

    #[test]
    fn tuples_survive(tuple in (strings(), any::<(i8, u16)>(), option::of(any::<bool>()), vec(any::<u8>(), 0..9))) {
        survives(&tuple)?;
    }

    #[test]
    fn strings_survive_everywhere(first in strings(), second in strings()) {
        survives(&first)?;
        survives(&(first.clone(), second.clone()))?;
        survives(&BTreeMap::from([(first, second)]))?;
    }

    #[test]
    fn variants_survive(tree in trees()) {
        survives(&tree)?;
        let body = to_body_tagged(&tree, &TREE).unwrap();
        prop_assert_eq!(from_body_tagged::<Tree>(&body, &TREE).unwrap(), tree);
    }

    #[test]
    fn values_survive_exactly(value in values()) {
        survives(&value)?;
    }

    #[test]
    fn messages_and_reasons_survive(list in vec(values(), 0..5)) {
        survives(&AnyMessage(list.clone()))?;
        survives(&Reason::new(list))?;
    }

    #[test]
    fn names_survive(node in "[a-z/]{1,5}", name in "[a-zÃ©€#]{0,5}") {
        let node = NodeId::new(&node).unwrap();
        survives(&node)?;
        survives(&node.named(&name))?;
        survives(&(PortId::from(node.clone()), node))?;
    }

    #[test]
    fn a_name_is_what_the_value_of_a_port_is(node in "[a-z/]{1,5}", name in "[a-zÃ©€#]{0,5}") {
        let port = NodeId::new(&node).unwrap().named(&name);
        prop_assert_eq!(to_body(&port).unwrap(), to_body(&Value::from(&port)).unwrap());
    }

    #[test]
    fn values_are_written_and_read_as_a_body_does_it(list in vec(values(), 0..5)) {
        let body = Body::encode(&list).unwrap();
        prop_assert_eq!(&to_body(&AnyMessage(list)).unwrap(), &body);
        prop_assert_eq!(from_body::<AnyMessage>(&body).unwrap().0, body.decode().unwrap());
    }

    #[test]
    fn the_count_is_the_number_of_items(list in vec(values(), 0..5)) {
        let mut items = Vec::new();
        let count = encode_into(&AnyMessage(list.clone()), &Variants::NONE, &mut items).unwrap();
        prop_assert_eq!(count as usize, list.len());
        let mut decoder = minicbor::Decoder::new(&items);
        for _ in 0..count {
            decoder.skip().unwrap();
        }
        prop_assert_eq!(decoder.position(), items.len());
    }
}

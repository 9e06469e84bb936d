//! What can be done to a setting.

use aemp_config::Key;
use serde_json::{Map, Value as Json, json};

use crate::failure::Failure;
use crate::session::{self, Session};

/// One change of one setting.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operation {
    /// It has this value.
    Set(&'static str, Json),
    /// It has no value here, and is inherited.
    Unset(&'static str),
    /// The list has this at its end, and nowhere else.
    Add(&'static str, Json),
    /// The list has this once more, at its end.
    Append(&'static str, Json),
    /// The list does not have this (any more).
    Remove(&'static str, Json),
    /// The list has this once less.
    RemoveOne(&'static str, Json),
}

impl Operation {
    /// Carries it out, if the outcome is one that a node could be started with.
    pub(super) fn apply(self, session: &mut Session) -> Result<(), Failure> {
        match &self {
            Operation::Set(key, value) => session::check(key, value).map_err(Failure::usage)?,
            Operation::Add(key, item) | Operation::Append(key, item) => {
                session::check(key, &json!([item])).map_err(Failure::usage)?;
            }
            Operation::Unset(_) | Operation::Remove(..) | Operation::RemoveOne(..) => {}
        }
        self.apply_to(session.section_mut()?)
    }

    fn apply_to(self, section: &mut Map<String, Json>) -> Result<(), Failure> {
        match self {
            Operation::Set(key, value) => {
                let value = Key::find(key)?.normal(&value)?;
                unset(section, key)?;
                section.insert(key.into(), value);
            }
            Operation::Unset(key) => unset(section, key)?,
            Operation::Add(key, item) => {
                let mut items = list(section, key)?;
                items.retain(|other| !same(other, &item));
                items.push(item);
                section.insert(key.into(), items.into());
            }
            Operation::Append(key, item) => {
                let mut items = list(section, key)?;
                items.push(item);
                section.insert(key.into(), items.into());
            }
            Operation::Remove(key, item) => {
                if find(section, key).is_none() {
                    // As in Perl; but who meant an inherited one should know what that has done.
                    eprintln!(
                        "aemp: {key} was not set here and is an empty list now, so nothing is inherited; `del{key}` undoes that"
                    );
                }
                let mut items = list(section, key)?;
                items.retain(|other| !same(other, &item));
                section.insert(key.into(), items.into());
            }
            Operation::RemoveOne(key, item) => {
                let mut items = list(section, key)?;
                if let Some(at) = items.iter().position(|other| *other == item) {
                    items.remove(at);
                }
                section.insert(key.into(), items.into());
            }
        }
        Ok(())
    }
}

/// Removes a setting, also under the names that it had before.
fn unset(section: &mut Map<String, Json>, key: &str) -> Result<(), Failure> {
    section.remove(key);
    for old in Key::find(key)?.old_names() {
        section.remove(old);
    }
    Ok(())
}

/// A port alone may stand in the file as a number.
fn same(one: &Json, other: &Json) -> bool {
    let text = |value: &Json| match value {
        Json::Number(number) => Json::String(number.to_string()),
        value => value.clone(),
    };
    text(one) == text(other)
}

fn find<'a>(section: &'a Map<String, Json>, key: &str) -> Option<&'a Json> {
    section.get(key).filter(|value| !value.is_null())
}

/// The list under `key` in this section alone: nothing is inherited into it.
fn list(section: &Map<String, Json>, key: &str) -> Result<Vec<Json>, Failure> {
    match find(section, key) {
        None => Ok(Vec::new()),
        Some(value) => match Key::find(key)?.normal(value)? {
            Json::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: Json, operations: impl IntoIterator<Item = Operation>) -> Json {
        let mut section = before.as_object().unwrap().clone();
        for operation in operations {
            operation.apply_to(&mut section).unwrap();
        }
        section.into()
    }

    #[test]
    fn values_are_set_and_taken_away() {
        let set = Operation::Set("seeds", json!("a,b"));
        assert_eq!(
            after(json!({"seeds": ["x"], "other": 1}), [set]),
            json!({"seeds": ["a", "b"], "other": 1})
        );
        assert_eq!(after(json!({"seeds": ["x"]}), [Operation::Unset("seeds")]), json!({}));
    }

    #[test]
    fn a_setting_under_its_old_name_is_replaced_and_removed() {
        let set = Operation::Set("relay", json!("0"));
        assert_eq!(after(json!({"carry": 1}), [set]), json!({"relay": 0}));
        assert_eq!(after(json!({"private": 1}), [Operation::Unset("behind_nat")]), json!({}));
    }

    #[test]
    fn an_address_is_in_its_list_once() {
        let add = |item: &str| Operation::Add("binds", json!(item));
        assert_eq!(after(json!({"binds": "a,b"}), [add("a"), add("c")]), json!({"binds": ["b", "a", "c"]}));
        assert_eq!(after(json!({"binds": [4040, "a"]}), [add("4040")]), json!({"binds": ["a", "4040"]}));
        assert_eq!(after(json!({}), [Operation::Remove("binds", json!("a"))]), json!({"binds": []}));
    }

    #[test]
    fn a_service_may_be_there_several_times() {
        let item = json!(["f", 1]);
        let append = Operation::Append("services", item.clone());
        let both = after(json!({}), [append.clone(), append]);
        assert_eq!(both, json!({"services": [["f", 1], ["f", 1]]}));
        assert_eq!(after(both, [Operation::RemoveOne("services", item)]), json!({"services": [["f", 1]]}));
    }
}

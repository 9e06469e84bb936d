use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
enum Work {
    Load(#[serde(default, skip_serializing_if = "String::is_empty")] String, u8),
}

fn main() {}

use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
struct Work {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    size: u8,
}

fn main() {}

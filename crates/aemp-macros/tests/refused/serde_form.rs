use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
#[serde(tag = "type")]
enum Work {
    Stop,
}

fn main() {}

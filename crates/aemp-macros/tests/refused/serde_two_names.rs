use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
enum Work {
    #[serde(rename(serialize = "a", deserialize = "b"))]
    Stop,
}

fn main() {}

use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
enum Work {
    Load {
        name: String,
        #[serde(flatten)]
        more: std::collections::BTreeMap<String, u8>,
    },
}

fn main() {}

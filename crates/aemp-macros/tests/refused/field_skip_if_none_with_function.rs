use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
enum Work {
    Load {
        #[serde(default = "Default::default", skip_serializing_if = "Option::is_none")]
        size: Option<u8>,
        name: String,
    },
}

fn main() {}

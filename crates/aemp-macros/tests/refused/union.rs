use aemp_macros::Message;

#[derive(Message)]
union Bits {
    number: u32,
    octets: [u8; 4],
}

fn main() {}

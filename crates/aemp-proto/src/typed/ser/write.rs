//! CBOR items, each written with a single growth of the buffer: this is the hottest code of a
//! sender.

use crate::value::to_latin1;

pub(super) const UNSIGNED: u8 = 0 << 5;
pub(super) const NEGATIVE: u8 = 1 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
pub(super) const LIST: u8 = 4 << 5;
pub(super) const MAP: u8 = 5 << 5;

const FALSE: u8 = 0xf4;
const NULL: u8 = 0xf6;
const NARROW_FLOAT: u8 = 0xfa;
const FLOAT: u8 = 0xfb;
const BREAK: u8 = 0xff;

/// The low bits of the head of a list or map that ends with a break.
const INDEFINITE: u8 = 31;

/// The head of an item of this major type, in its shortest form.
#[inline]
pub(super) fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    if argument < 24 {
        return out.push(major | argument as u8);
    }
    let width_log = match argument {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        0x1_0000..=0xffff_ffff => 2,
        _ => 3,
    };
    // To append always as many bytes, and to cut off what is behind the argument, is faster.
    let mut bytes = [0; 9];
    bytes[0] = major | 24 | width_log;
    bytes[1..].copy_from_slice(&(argument << (64 - (8 << width_log))).to_be_bytes());
    let end = out.len() + 1 + (1 << width_log);
    out.extend_from_slice(&bytes);
    out.truncate(end);
}

/// The head of a list or map of this many parts, or of as many as come until the [`end`].
pub(super) fn begin(out: &mut Vec<u8>, major: u8, len: Option<usize>) {
    match len {
        Some(len) => head(out, major, len as u64),
        None => out.push(major | INDEFINITE),
    }
}

pub(super) fn end(out: &mut Vec<u8>) {
    out.push(BREAK);
}

pub(super) fn null(out: &mut Vec<u8>) {
    out.push(NULL);
}

pub(super) fn boolean(out: &mut Vec<u8>, truth: bool) {
    out.push(FALSE + u8::from(truth));
}

pub(super) fn unsigned(out: &mut Vec<u8>, number: u64) {
    head(out, UNSIGNED, number);
}

pub(super) fn signed(out: &mut Vec<u8>, number: i64) {
    match u64::try_from(number) {
        Ok(number) => head(out, UNSIGNED, number),
        // The argument of a negative number -1-n is n.
        Err(_) => head(out, NEGATIVE, !number as u64),
    }
}

pub(super) fn narrow_float(out: &mut Vec<u8>, number: f32) {
    with_bytes(out, NARROW_FLOAT, number.to_be_bytes());
}

/// A narrow float if it is the same number. As Perl has it, NaN, which equals nothing, is wide.
pub(super) fn float(out: &mut Vec<u8>, number: f64) {
    let narrow = number as f32;
    if f64::from(narrow) == number {
        narrow_float(out, narrow);
    } else {
        with_bytes(out, FLOAT, number.to_be_bytes());
    }
}

pub(super) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    string(out, BYTES, bytes);
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    string(out, TEXT, text.as_bytes());
}

/// A name: bytes, where all code points are at most U+00FF.
#[inline]
pub(super) fn name(out: &mut Vec<u8>, name: &str) {
    if name.is_ascii() {
        return bytes(out, name.as_bytes());
    }
    wide_name(out, name);
}

#[cold]
fn wide_name(out: &mut Vec<u8>, name: &str) {
    match to_latin1(name) {
        Some(latin1) => bytes(out, &latin1),
        None => text(out, name),
    }
}

/// A string that is read leniently: bytes, if that will be the same string again. Those that happen
/// to be UTF-8 would be another one (`Ã©` would be `é`).
pub(super) fn key(out: &mut Vec<u8>, key: &str) {
    if key.is_ascii() {
        return bytes(out, key.as_bytes());
    }
    match to_latin1(key) {
        Some(latin1) if std::str::from_utf8(&latin1).is_err() => bytes(out, &latin1),
        _ => text(out, key),
    }
}

#[inline]
fn string(out: &mut Vec<u8>, major: u8, content: &[u8]) {
    head(out, major, content.len() as u64);
    out.extend_from_slice(content);
}

#[inline]
fn with_bytes<const N: usize>(out: &mut Vec<u8>, head: u8, bytes: [u8; N]) {
    out.reserve(1 + N);
    out.push(head);
    out.extend_from_slice(&bytes);
}

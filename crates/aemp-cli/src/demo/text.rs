//! Words: how a text is counted, and where it may be cut without changing the count.

use std::collections::HashMap;

use bytes::Bytes;

/// How often each word occurs.
pub(crate) type Counts = HashMap<String, u64>;

/// Without a place to cut for so long, a file is not text.
pub(crate) const LONGEST_RUN: usize = 1 << 20;

/// Counts the words of a text: runs of letters, digits, `_` and inner apostrophes, in lower case.
/// Bytes that are not UTF-8 separate words.
pub(crate) fn count(text: &[u8]) -> Counts {
    let mut counts = Counts::new();
    for chunk in text.utf8_chunks() {
        for word in chunk.valid().split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '\'')) {
            let word = word.trim_matches('\'');
            if !word.is_empty() {
                *counts.entry(word.to_lowercase()).or_insert(0) += 1;
            }
        }
    }
    counts
}

/// Adds `more` to `counts`.
pub(crate) fn add(counts: &mut Counts, more: impl IntoIterator<Item = (String, u64)>) {
    for (word, number) in more {
        *counts.entry(word).or_insert(0) += number;
    }
}

/// The most frequent words, the alphabet deciding among equals.
pub(crate) fn most_frequent(counts: &Counts, how_many: usize) -> Vec<(&str, u64)> {
    let mut words: Vec<(&str, u64)> = counts.iter().map(|(word, number)| (word.as_str(), *number)).collect();
    words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    words.truncate(how_many);
    words
}

/// Whether a word never goes across this byte. All of them are ASCII, so a cut never goes through a
/// character either.
fn separates(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric() && byte != b'_' && byte != b'\''
}

/// Cuts a text into pieces of about `size` bytes, each ending where a word ends.
pub(crate) fn chunks(text: &Bytes, size: usize) -> impl Iterator<Item = Bytes> + use<> {
    let mut rest = text.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = size.clamp(1, rest.len());
        let end =
            rest[at - 1..].iter().position(|&byte| separates(byte)).map_or(rest.len(), |more| at + more);
        Some(rest.split_to(end))
    })
}

/// Whether this is text: without NUL, and with places to cut.
pub(crate) fn is_text(content: &[u8]) -> bool {
    !content.contains(&0) && content.split(|&byte| separates(byte)).all(|run| run.len() <= LONGEST_RUN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(text: &str) -> Vec<(String, u64)> {
        let mut words: Vec<_> = count(text.as_bytes()).into_iter().collect();
        words.sort();
        words
    }

    #[test]
    fn words_are_letters_digits_underscores_and_inner_apostrophes() {
        let words = counted("Don't 'quote' don't_x x2, ÜBER über—end");
        let expected = [("don't", 1), ("don't_x", 1), ("end", 1), ("quote", 1), ("x2", 1), ("über", 2)];
        assert_eq!(words, expected.map(|(word, number)| (word.to_owned(), number)));
    }

    #[test]
    fn bytes_that_are_not_utf8_separate() {
        let words = count(b"ab\xffcd\xc3 \xc3\xa9");
        assert_eq!(words.len(), 3);
        assert!(words.contains_key("ab") && words.contains_key("cd") && words.contains_key("é"));
    }

    #[test]
    fn equal_frequencies_are_in_alphabetic_order() {
        let counts = count(b"b a c c");
        assert_eq!(most_frequent(&counts, 2), [("c", 2), ("a", 1)]);
    }

    #[test]
    fn a_chunk_ends_with_a_word_and_grows_where_it_must() {
        let text = Bytes::from_static(b"one two three");
        let cut: Vec<Bytes> = chunks(&text, 2).collect();
        assert_eq!(cut, [&b"one "[..], b"two ", b"three"]);
        assert_eq!(chunks(&text, 1000).count(), 1);
        assert_eq!(chunks(&Bytes::new(), 10).count(), 0);
    }

    #[test]
    fn binary_files_are_recognised() {
        assert!(is_text(b"") && is_text("naïve text\n".as_bytes()));
        assert!(!is_text(b"ELF\0"));
        assert!(is_text(&vec![b'a'; LONGEST_RUN]) && !is_text(&vec![b'a'; LONGEST_RUN + 1]));
    }

    proptest! {
        #[test]
        fn the_counts_of_the_chunks_add_up(text in "(\\PC|['_ \n]){0,200}", junk in any::<Vec<u8>>(), size in 1usize..50) {
            for text in [text.into_bytes(), junk] {
                let text = Bytes::from(text);
                let mut sum = Counts::new();
                let mut bytes = 0;
                for chunk in chunks(&text, size) {
                    bytes += chunk.len();
                    add(&mut sum, count(&chunk));
                }
                prop_assert_eq!(bytes, text.len());
                prop_assert_eq!(sum, count(&text));
            }
        }
    }
}

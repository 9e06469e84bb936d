//! Spelling: tags out of names, and the names that `serde` makes by `rename_all`.

/// `ResizeAll` → `resize_all`, `HTTPGet` → `http_get`.
pub(crate) fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| chars[before]);
        let word_ends = before.is_some_and(|before| before.is_lowercase() || before.is_numeric());
        let word_begins = before.is_some_and(char::is_uppercase)
            && chars.get(at + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && (word_ends || word_begins) {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// The name of a variant under `#[serde(rename_all = "…")]`; `None` if there is no such rule.
pub(crate) fn serde_rename_all(rule: &str, variant: &str) -> Option<String> {
    let separated = |separator: char| {
        let mut name = String::with_capacity(variant.len() + 4);
        for (at, c) in variant.char_indices() {
            if at > 0 && c.is_uppercase() {
                name.push(separator);
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    };
    Some(match rule {
        "PascalCase" => variant.into(),
        "lowercase" => variant.to_ascii_lowercase(),
        "UPPERCASE" => variant.to_ascii_uppercase(),
        "camelCase" => {
            let mut chars = variant.chars();
            chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
        }
        "snake_case" => separated('_'),
        "SCREAMING_SNAKE_CASE" => separated('_').to_ascii_uppercase(),
        "kebab-case" => separated('-'),
        "SCREAMING-KEBAB-CASE" => separated('-').to_ascii_uppercase(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_words_joined_by_underscores() {
        for (name, tag) in [
            ("Stop", "stop"),
            ("ResizeAll", "resize_all"),
            ("HTTPGet", "http_get"),
            ("Get2Values", "get2_values"),
            ("A", "a"),
            ("Größe", "größe"),
            ("already_snake", "already_snake"),
        ] {
            assert_eq!(snake(name), tag);
        }
    }

    #[test]
    fn serde_splits_at_every_capital_letter() {
        assert_eq!(serde_rename_all("snake_case", "HTTPGet").as_deref(), Some("h_t_t_p_get"));
        assert_eq!(serde_rename_all("SCREAMING-KEBAB-CASE", "ResizeAll").as_deref(), Some("RESIZE-ALL"));
        assert_eq!(serde_rename_all("camelCase", "ResizeAll").as_deref(), Some("resizeAll"));
        assert_eq!(serde_rename_all("Snake", "A"), None);
    }
}

//! Text that payment rails accept. SEPA and SWIFT know a small set of Latin characters
//! (`a–z A–Z 0–9 / - ? : ( ) . , ' +` and space); whatever leaves for a bank is brought into it
//! here, by a fixed table and never by guessing a language.

mod private;
mod reference;
mod serde_str;

pub use self::private::Private;
pub use self::reference::{Reference, ReferenceError};
pub(crate) use self::serde_str::{read_string, serde_as_string};

/// Whether a character is in the SEPA basic set (EPC217-08; SWIFT character set X without line ends).
pub const fn is_sepa(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '?' | ':' | '(' | ')' | '.' | ',' | '\'' | '+' | ' ')
}

/// Brings text into the SEPA set. Letters with marks lose them (å→a, ø→o, č→c), ligatures are spelt out
/// (æ→ae), punctuation is replaced by its nearest relative (`_`→`-`, `&`→`+`), and what has no
/// relative becomes a space. Runs of spaces shrink to one; the ends carry none.
pub fn to_sepa(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_sepa(c) {
            push_spaced(&mut out, c);
        } else if let Some(replacement) = replacement(c) {
            out.push_str(replacement);
        } else if let Some(letter) = vietnamese(c) {
            out.push(letter);
        } else if !is_mark(c) {
            push_spaced(&mut out, ' ');
        }
    }
    out.truncate(out.trim_end_matches(' ').len());
    out
}

/// The first fault that SEPA finds in an identifier or reference, if any: a foreign character, a slash
/// or space at an end, a double slash.
pub(crate) fn sepa_fault(text: &str) -> Option<SepaFault> {
    if text.is_empty() {
        Some(SepaFault::Empty)
    } else if !text.chars().all(is_sepa) {
        Some(SepaFault::Character)
    } else if text.starts_with(['/', ' ']) || text.ends_with(['/', ' ']) || text.contains("//") {
        Some(SepaFault::Slash)
    } else {
        None
    }
}

/// What is wrong with a text meant for a SEPA identifier or reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SepaFault {
    Empty,
    Character,
    Slash,
}

/// Bytes known to be ASCII, as text. Types that hold such bytes check them on the way in.
pub(crate) fn ascii(bytes: &[u8]) -> &str {
    debug_assert!(bytes.is_ascii(), "only ASCII is stored as bytes");
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn push_spaced(out: &mut String, c: char) {
    if c != ' ' || !(out.is_empty() || out.ends_with(' ')) {
        out.push(c);
    }
}

fn replacement(c: char) -> Option<&'static str> {
    let replacement = match c {
        'À' | 'Á' | 'Â' | 'Ã' | 'Ä' | 'Å' | 'Ā' | 'Ă' | 'Ą' | 'Ǎ' => "A",
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' | 'ǎ' | 'ª' => "a",
        'Æ' | 'Ǽ' => "AE",
        'æ' | 'ǽ' => "ae",
        'Ç' | 'Ć' | 'Ĉ' | 'Ċ' | 'Č' => "C",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'Ð' | 'Ď' | 'Đ' => "D",
        'ð' | 'ď' | 'đ' => "d",
        'È' | 'É' | 'Ê' | 'Ë' | 'Ē' | 'Ĕ' | 'Ė' | 'Ę' | 'Ě' | 'Ə' | '€' => "E",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ə' => "e",
        'Ĝ' | 'Ğ' | 'Ġ' | 'Ģ' | 'Ǧ' => "G",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' | 'ǧ' => "g",
        'Ĥ' | 'Ħ' => "H",
        'ĥ' | 'ħ' => "h",
        'Ì' | 'Í' | 'Î' | 'Ï' | 'Ĩ' | 'Ī' | 'Ĭ' | 'Į' | 'İ' | 'Ǐ' => "I",
        'ì' | 'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ǐ' => "i",
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'Ĵ' => "J",
        'ĵ' => "j",
        'Ķ' => "K",
        'ķ' | 'ĸ' => "k",
        'Ĺ' | 'Ļ' | 'Ľ' | 'Ŀ' | 'Ł' => "L",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'Ñ' | 'Ń' | 'Ņ' | 'Ň' | 'Ŋ' => "N",
        'ñ' | 'ń' | 'ņ' | 'ň' | 'ŉ' | 'ŋ' => "n",
        'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ö' | 'Ø' | 'Ō' | 'Ŏ' | 'Ő' | 'Ơ' | 'Ǒ' | 'Ǿ' => "O",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ơ' | 'ǒ' | 'ǿ' | 'º' => "o",
        'Œ' => "OE",
        'œ' => "oe",
        'Ŕ' | 'Ŗ' | 'Ř' => "R",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'Ś' | 'Ŝ' | 'Ş' | 'Š' | 'Ș' => "S",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' | 'ſ' => "s",
        'ẞ' => "SS",
        'ß' => "ss",
        'Ţ' | 'Ť' | 'Ŧ' | 'Ț' => "T",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'Þ' => "TH",
        'þ' => "th",
        'Ù' | 'Ú' | 'Û' | 'Ü' | 'Ũ' | 'Ū' | 'Ŭ' | 'Ů' | 'Ű' | 'Ų' | 'Ư' | 'Ǔ' => "U",
        'ù' | 'ú' | 'û' | 'ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ư' | 'ǔ' => "u",
        'Ŵ' => "W",
        'ŵ' => "w",
        'Ý' | 'Ŷ' | 'Ÿ' => "Y",
        'ý' | 'ŷ' | 'ÿ' => "y",
        'Ź' | 'Ż' | 'Ž' => "Z",
        'ź' | 'ż' | 'ž' => "z",
        '_' | '~' | '‐' | '‑' | '‒' | '–' | '—' | '−' => "-",
        '&' => "+",
        '[' | '{' | '<' => "(",
        ']' | '}' | '>' => ")",
        '`' | '´' | '‘' | '’' | '‚' | '"' | '“' | '”' | '„' | '«' | '»' => "'",
        ';' => ",",
        '\\' | '|' => "/",
        '!' | '#' | '%' | '*' | '=' | '@' | '^' | '$' | '·' | '…' => ".",
        _ => return None,
    };
    Some(replacement)
}

/// Latin Extended Additional lists the Vietnamese vowels by base letter, capitals at even numbers.
fn vietnamese(c: char) -> Option<char> {
    let letter = match c {
        'Ạ'..='ặ' => 'a',
        'Ẹ'..='ệ' => 'e',
        'Ỉ'..='ị' => 'i',
        'Ọ'..='ợ' => 'o',
        'Ụ'..='ự' => 'u',
        'Ỳ'..='ỹ' => 'y',
        _ => return None,
    };
    Some(if u32::from(c) % 2 == 0 { letter.to_ascii_uppercase() } else { letter })
}

/// Marks that combine with the letter before them, and marks without width, vanish without a space.
const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_brought_into_the_sepa_set() {
        for (text, sepa) in [
            ("Blåbærsyltetøy", "Blabaersyltetoy"),
            ("ÆØÅ æøå", "AEOA aeoa"),
            ("Marko Petrović", "Marko Petrovic"),
            ("Đorđe Šušnjić-Žižek", "Dorde Susnjic-Zizek"),
            ("Łukasz Żółć", "Lukasz Zolc"),
            ("Straße", "Strasse"),
            ("Ștefan Țăran", "Stefan Taran"),
            ("İbrahim Yıldız", "Ibrahim Yildiz"),
            ("Nguyễn Thị Ánh Đặng", "Nguyen Thi Anh Dang"),
            ("NGUYỄN", "NGUYEN"),
            ("e\u{301}le\u{300}ve", "eleve"), // decomposed marks
            ("Drop remittance tx_rem_abc123", "Drop remittance tx-rem-abc123"),
            ("A & B", "A + B"),
            ("O’Brien", "O'Brien"),
            ("a\u{a0}b\tc\r\nd", "a b c d"),
            ("  two  spaces  ", "two spaces"),
            ("日本", ""),
            ("x 日本 y", "x y"),
            ("/-?:().,'+ z", "/-?:().,'+ z"),
            ("", ""),
        ] {
            assert_eq!(to_sepa(text), sepa, "{text:?}");
        }
    }

    #[test]
    fn every_character_ends_in_the_set_and_a_second_pass_changes_nothing() {
        for c in '\0'..='\u{ffff}' {
            let once = to_sepa(&format!("a{c}b"));
            assert!(once.chars().all(is_sepa), "{c:?} became {once:?}");
            assert_eq!(to_sepa(&once), once, "{c:?}");
        }
    }

    #[test]
    fn every_latin_letter_of_europe_keeps_a_letter() {
        for c in ('À'..='ž').chain('Ạ'..='ỹ').filter(|c| c.is_alphabetic()) {
            let folded = to_sepa(&c.to_string());
            assert!(
                !folded.is_empty() && folded.bytes().all(|byte| byte.is_ascii_alphabetic()),
                "{c} {folded}"
            );
            assert_eq!(
                folded.bytes().all(|byte| byte.is_ascii_uppercase()),
                c.is_uppercase(),
                "{c} {folded}"
            );
        }
    }
}

//! The check-digit rules that account numbers and references share.

/// The two control digits 98 − (number ‖ 00) mod 97, from 02 to 98. For an IBAN the number is that of the
/// account followed by the country's letters.
pub(super) fn control_97(number: &str) -> u32 {
    98 - mod_97(&format!("{number}00"))
}

/// The modulo-11 check digit of digits: weights 2, 3, 4, 5, 6, 7 again and again from the right. Ten is
/// a result that no digit can show, so it is `None`.
pub(super) fn mod_11(payload: &[u8]) -> Option<u8> {
    let weights = (2..=7).cycle();
    let sum: u32 =
        payload.iter().rev().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    match (11 - sum % 11) % 11 {
        10 => None,
        digit => u8::try_from(digit).ok(),
    }
}

/// The Luhn (modulo 10) check digit of digits: every second from the right counts double.
pub(super) fn luhn(payload: &[u8]) -> u8 {
    let weights = [2, 1].into_iter().cycle();
    let sum: u32 = payload
        .iter()
        .rev()
        .zip(weights)
        .map(|(digit, weight)| {
            let product = u32::from(digit - b'0') * weight;
            product / 10 + product % 10
        })
        .sum();
    u8::try_from((10 - sum % 10) % 10).unwrap_or_default()
}

/// Digits and letters (A = 10 … Z = 35) read as one number, modulo 97 (ISO 7064 MOD 97-10, ISO 13616).
/// Other characters are not expected.
fn mod_97(text: &str) -> u32 {
    text.bytes().fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.to_ascii_uppercase().wrapping_sub(b'A')) + 10) % 97,
    })
}

//! The order in which Slurm sorts names.

use std::cmp::Ordering;

/// Compares like a person: runs of digits by value, the rest byte by byte.
///
/// Two runs of digits of which one begins with a zero compare like what
/// follows a decimal point (`01` before `1`, `0100` before `099`); all others
/// by length, then digit by digit. Equal only for equal text.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    // Back to the start of a number that the difference may be in.
    while at > 0 && a[at - 1].is_ascii_digit() {
        at -= 1;
    }
    let (a, b) = (&a[at..], &b[at..]);
    let (x, y) = (number(a), number(b));
    if !x.is_empty() && !y.is_empty() && x != y {
        return if x[0] == b'0' || y[0] == b'0' {
            x.cmp(y)
        } else {
            (x.len(), x).cmp(&(y.len(), y))
        };
    }
    a[x.len().min(y.len())..].cmp(&b[x.len().min(y.len())..])
}

fn number(text: &[u8]) -> &[u8] {
    &text[..text.iter().take_while(|b| b.is_ascii_digit()).count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(mut names: Vec<&str>) -> Vec<&str> {
        names.sort_by(|a, b| natural(a, b));
        names
    }

    #[test]
    fn numbers_by_value() {
        let order = [
            "foo1bar3",
            "foo2bar4",
            "foo6bar3",
            "foo10bar3",
            "foo100bar2",
        ];
        let mut shuffled = order.to_vec();
        shuffled.reverse();
        assert_eq!(sorted(shuffled), order);
    }

    #[test]
    fn zeros_before_the_rest() {
        assert_eq!(
            sorted(vec!["x11-", "x0011-", "x0010-"]),
            ["x0010-", "x0011-", "x11-"]
        );
        assert_eq!(
            sorted(vec!["n099x", "n0100x", "n1x"]),
            ["n0100x", "n099x", "n1x"]
        );
    }

    #[test]
    fn a_beginning_before_the_whole() {
        assert_eq!(sorted(vec!["n1", "n", "n1x", ""]), ["", "n", "n1", "n1x"]);
    }

    #[test]
    fn is_a_total_order() {
        let parts = ["", "0", "1", "a", "9", "00", "01", "10", "-", "b"];
        let mut all = Vec::new();
        for x in parts {
            for y in parts {
                for z in ["", "1", "a", "0"] {
                    all.push(format!("{x}{y}{z}"));
                }
            }
        }
        all.sort();
        all.dedup();
        for a in &all {
            for b in &all {
                assert_eq!(natural(a, b), natural(b, a).reverse(), "{a} {b}");
                assert_eq!(natural(a, b) == Ordering::Equal, a == b, "{a} {b}");
            }
        }
        all.sort_by(|a, b| natural(a, b));
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
            }
        }
    }
}

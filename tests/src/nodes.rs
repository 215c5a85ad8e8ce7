//! What `scontrol show node -o` says, by node.

use std::collections::{BTreeMap, BTreeSet};

/// A node as Slurm shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// `State=`, taken apart: `IDLE+CLOUD+POWERED_DOWN` is three words.
    pub state: BTreeSet<String>,
    /// `Reason=` without the `[user@time]` behind it.
    pub reason: Option<String>,
    /// `NodeAddr=`
    pub addr: Option<String>,
    /// Everything, by the names that Slurm uses.
    pub fields: BTreeMap<String, String>,
}

impl NodeInfo {
    /// Whether all of these words, such as `IDLE` or `POWERING_UP`, are in the state.
    pub fn is(&self, words: &[&str]) -> bool {
        words.iter().all(|word| self.state.contains(*word))
    }

    /// Whether a job can run there now: nothing of power saving, nothing wrong.
    pub fn is_up(&self) -> bool {
        const NOT_UP: [&str; 9] = [
            "DOWN",
            "DRAIN",
            "FAIL",
            "NOT_RESPONDING",
            "POWERED_DOWN",
            "POWERING_DOWN",
            "POWERING_UP",
            "POWER_DOWN",
            "POWER_UP",
        ];
        !NOT_UP.iter().any(|word| self.state.contains(*word))
    }

    /// `State=` again, in alphabetical order.
    pub fn state_text(&self) -> String {
        self.state
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("+")
    }
}

/// Reads the whole output; what does not begin with `NodeName=` is no node ("No nodes in the system").
pub(crate) fn parse(output: &str) -> BTreeMap<String, NodeInfo> {
    output
        .lines()
        .filter(|line| line.starts_with("NodeName="))
        .map(|line| {
            let node = parse_line(line);
            (node.fields["NodeName"].clone(), node)
        })
        .collect()
}

fn parse_line(line: &str) -> NodeInfo {
    // Free text that may hold a `=` of its own stands behind everything else.
    let (head, reason) = match line.split_once(" Reason=") {
        Some((head, rest)) => (head, Some(rest)),
        None => (line, None),
    };
    let mut fields = BTreeMap::<String, String>::new();
    let mut last = String::new();
    for word in head.split(' ').filter(|word| !word.is_empty()) {
        match word.split_once('=').filter(|(key, _)| is_key(key)) {
            Some((key, value)) => {
                last = key.to_owned();
                fields.insert(last.clone(), value.to_owned());
            }
            // `OS=Linux 6.1.0 #1 SMP`: values may have spaces.
            None => {
                let value = fields.entry(last.clone()).or_default();
                value.push(' ');
                value.push_str(word);
            }
        }
    }
    let reason = reason.map(|text| {
        let end = text
            .match_indices(" [")
            .find(|(at, _)| is_author(&text[at + 2..]));
        text[..end.map_or(text.len(), |(at, _)| at)]
            .trim_end()
            .to_owned()
    });
    NodeInfo {
        state: fields
            .get("State")
            .map_or("", String::as_str)
            .split('+')
            .map(str::to_owned)
            .collect(),
        addr: fields.get("NodeAddr").cloned(),
        reason,
        fields,
    }
}

/// Whether this begins with `user@time]`, which ends a reason.
fn is_author(text: &str) -> bool {
    text.split_once(']')
        .is_some_and(|(author, _)| author.contains('@') && !author.contains(' '))
}

fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn nodes_are_read_line_by_line() {
        let nodes = parse(
            "NodeName=c1 Arch=x86_64 CPUTot=2 NodeAddr=127.0.0.1 NodeHostName=c1 Version=22.05.8 \
             OS=Linux 6.1.0 #1 SMP PREEMPT a=b State=IDLE+CLOUD+POWERED_DOWN ThreadsPerCore=1 \
             Reason=slurmburst: Capacity x=y [z] [slurm@2025-01-02T03:04:05]\n\
             NodeName=c2 State=IDLE+CLOUD \n\n",
        );
        assert_eq!(nodes.len(), 2);
        let c1 = &nodes["c1"];
        assert!(c1.is(&["IDLE", "CLOUD", "POWERED_DOWN"]) && !c1.is_up());
        assert_eq!(c1.reason.as_deref(), Some("slurmburst: Capacity x=y [z]"));
        assert_eq!(c1.addr.as_deref(), Some("127.0.0.1"));
        assert_eq!(c1.fields["OS"], "Linux 6.1.0 #1 SMP PREEMPT a=b");
        assert!(nodes["c2"].is_up());
        assert_eq!(nodes["c2"].reason, None);
        assert!(parse("No nodes in the system\n").is_empty());
    }
}

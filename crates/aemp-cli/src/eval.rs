//! `aemp eval`: have a node evaluate code.

use aemp::{AnyMessage, CallError, ReplyTo, Value};
use clap::Args;

use crate::client::{self, Access, Seeds};
use crate::failure::Failure;
use crate::values;

/// Have a node evaluate code, and print the result
///
/// The texts are joined with blanks and sent: Perl for a Perl node, a script for one of ours that
/// has scripts enabled. As everywhere a text that is a JSON string stands for what it says, so
/// quote the code as a whole: aemp eval mynode 'die "no"'. The result is printed as JSON values
/// separated by commas. Example: aemp eval mynode 6 '*' 7
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The node; of a port ID, the node of the port
    node: String,
    /// The code
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    text: Vec<String>,
    /// Print the result as one JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

impl Eval {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = client::port(&self.node)?.node().clone();
        let code = self.text.join(" ");
        let node = self.access.client.start().await?;
        let seeds = Seeds::of(&node);
        let request = |reply: ReplyTo<AnyMessage>| ("eval", code, reply.port().clone());
        let answer = node.call(&target.control_port(), self.access.limit.timeout, request).await;
        let no_seed = seeds.failure();
        client::end(&node, answer.is_ok()).await;
        let AnyMessage(values) = match answer {
            Ok(message) => message,
            Err(error) => {
                return Err(no_seed.unwrap_or_else(|| match error {
                    CallError::TimedOut(limit) => Failure::failed(no_answer(&target, limit)),
                    error => Failure::of_call(target, error),
                }));
            }
        };
        let results = results(values).map_err(|error| Failure::failed(format!("{target}: {error}")))?;
        crate::print(&if self.json { values::to_list(&results) } else { values::to_line(&results) })
    }
}

/// What a node that does not answer may be doing.
pub(crate) fn no_answer(node: &aemp::NodeId, limit: std::time::Duration) -> String {
    format!(
        "{node}: no answer within {limit:?}: the code is still running, or the node does not evaluate code for others (a Perl \
         node in secure mode does not say so)"
    )
}

/// Reads `ERROR, RESULT…`: the results, or the error if it is not empty.
pub(crate) fn results(mut values: Vec<Value>) -> Result<Vec<Value>, String> {
    if values.is_empty() {
        return Err("the answer is empty".into());
    }
    let results = values.split_off(1);
    match values::to_words(&values).trim_end() {
        "" | "null" => Ok(results),
        error => Err(error.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_stands_before_the_results() {
        assert_eq!(results(vec![Value::name(""), 1.into(), 2.into()]), Ok(vec![1.into(), 2.into()]));
        assert_eq!(results(vec![Value::name("")]), Ok(vec![]));
        assert_eq!(results(vec![Value::name("no at line 1.\n"), 1.into()]), Err("no at line 1.".into()));
        assert!(results(vec![]).is_err());
    }
}

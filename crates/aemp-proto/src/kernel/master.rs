//! What other nodes ask of this one as their master.

use super::{Action, Kernel, QueryKind, Time};
use crate::db::client;
use crate::db::size::{size, split_change};
use crate::wire::MeshRequest;
use crate::{NodeId, Value};

impl Kernel {
    /// What a node asks of us as a master.
    pub(super) fn serve(&mut self, from: &NodeId, asked: MeshRequest, now: Time) {
        if !self.global.is_active() {
            return;
        }
        if let MeshRequest::Find(node) = asked {
            return self.find(from, node, now);
        }
        let Err(asked) = self.global.defer(from, asked, &self.config.budgets) else { return };
        match asked {
            MeshRequest::Family(family, id) => self.reply(from, QueryKind::Family, &family, id),
            MeshRequest::Keys(family, id) => self.reply(from, QueryKind::Keys, &family, id),
            MeshRequest::Values(family, id) => self.reply(from, QueryKind::Values, &family, id),
            MeshRequest::Watch(family) => self.watched_by(from, &family),
            MeshRequest::Unwatch(family) => self.global.unwatch(from, &family),
            _ => {}
        }
    }

    fn watched_by(&mut self, from: &NodeId, family: &str) {
        if self.global.watch(from, family, &self.config.budgets) {
            return self.send_content(from, family);
        }
        let what = format!("a watch of {from}: what it has here takes as much memory as a node may have");
        self.actions.push_back(Action::Refused { what });
    }

    fn reply(&mut self, to: &NodeId, kind: QueryKind, family: &str, id: Value) {
        // The rest of the request is its name. What does not fit is not put together to find that
        // out.
        let fits = self.merged.answer_size(kind, family) + size(&id) + 64 <= self.config.limits.message;
        let result = if fits {
            client::answer(kind, self.merged.family(family))
        } else {
            let what = format!("the answer to a query of {to}: the family {family:?} fits into no message");
            self.actions.push_back(Action::Refused { what });
            Value::Null
        };
        self.send(to, MeshRequest::Reply(id, result));
    }

    /// Sends what a family has; what does not fit into one message follows as changes.
    fn send_content(&mut self, to: &NodeId, family: &str) {
        let content = self.merged.family(family);
        let mut parts = split_change(content, Vec::new(), self.config.limits.family_part()).into_iter();
        let (first, _) = parts.next().unwrap_or_default();
        self.send(to, MeshRequest::Content(family.into(), first));
        for (set, deleted) in parts {
            self.send(to, MeshRequest::Changed(family.into(), set, deleted));
        }
    }
}

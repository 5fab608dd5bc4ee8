//! Promotions that only the leader can decide about: a member that does not lead asks it, and answers its client with what it says.
//!
//! Must never wait: questions and answers are messages, and who waits for an answer is kept under its token.

use crate::calls::kinds::{Learner, PromoteLearner, Promotion};
use crate::calls::{Asked, PeerCalls};
use crate::limits::PROMOTION_PATIENCE;
use messages::admin::Control;
use messages::peer::{CallError, NoAnswer};
use messages::ports::CorePort;
use messages::{Reply, ReplyBody, ReplySink, RequestError, SinkId, Sinks, Token};
use model::{Applied, ApplyError, MemberChange, Outcome};
use raft::NodeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Asks the leader to promote a learner, and answers the client with what it says.
pub fn pass_on(calls: &PeerCalls, sinks: Arc<Sinks>, leader: NodeId, id: NodeId, client: (SinkId, Token)) {
    let (sink, token) = client;
    calls.ask::<PromoteLearner>(leader, Learner { id }, PROMOTION_PATIENCE, move |answer| {
        let result = answer.map_err(unanswered).and_then(|promotion| answered(id, promotion));
        sinks.deliver(sink, vec![Reply { token, body: ReplyBody::Applied(result) }]);
    });
}

fn answered(id: u64, promotion: Promotion) -> Result<Applied, RequestError> {
    let (revision, term) = (promotion.revision, promotion.term);
    promotion.members().map(|members| {
        let result = Ok(Outcome::Members { changed: id, members });
        Applied { revision, term, result }
    })
}

fn unanswered(why: CallError) -> RequestError {
    match why {
        CallError::Unreachable => RequestError::LeaderChanged,
        CallError::Unknown | CallError::Refused(NoAnswer::Failed) => RequestError::Timeout,
        CallError::Refused(NoAnswer::Busy) => RequestError::TooManyRequests,
        CallError::Refused(NoAnswer::NotCapable) => RequestError::Failed,
    }
}

/// The side that leads: questions of other members on their way through the core. The core's answers come back to it as to a client.
pub struct AskedPromotions {
    core: CorePort,
    sink: SinkId,
    waiting: Mutex<OpenQuestions>,
}

#[derive(Default)]
struct OpenQuestions {
    last: Token,
    asked: HashMap<Token, Asked<PromoteLearner>>,
}

impl AskedPromotions {
    /// In front of the core, which answers to `sink`: this must be registered there.
    pub fn new(core: CorePort, sink: SinkId) -> Self {
        Self { core, sink, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, OpenQuestions> {
        // what waits is whole after every statement
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another member asks for a promotion.
    pub fn ask(&self, asked: Asked<PromoteLearner>) {
        let change = MemberChange::Promote { id: asked.ask.id };
        let token = {
            let mut waiting = self.waiting();
            waiting.last += 1;
            let token = waiting.last;
            waiting.asked.insert(token, asked);
            token
        };
        let order = Control::ChangeMembership { sink: self.sink, token, change, forwarded: true };
        if !self.core.control(order) {
            let refused = self.waiting().asked.remove(&token);
            refused.into_iter().for_each(|asked| asked.refuse(NoAnswer::Busy));
        }
    }
}

impl ReplySink for AskedPromotions {
    fn deliver(&self, replies: Vec<Reply>) {
        for Reply { token, body } in replies {
            let asked = self.waiting().asked.remove(&token);
            if let (Some(asked), ReplyBody::Applied(result)) = (asked, body) {
                asked.answer(&promotion(result));
            }
        }
    }
}

fn promotion(result: Result<Applied, RequestError>) -> Promotion {
    let result = result.and_then(|applied| match applied.result {
        Ok(Outcome::Members { members, .. }) => Ok((applied.revision, applied.term, members)),
        Ok(_) => Err(RequestError::Failed),
        Err(ApplyError::Member(why)) => Err(why.into()),
        Err(_) => Err(RequestError::Failed),
    });
    match result {
        Ok((revision, term, members)) => Promotion::done(revision, term, members),
        Err(why) => Promotion::refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{CallKind, CallsInHand};
    use crate::raft_core::inbox::Inbox;
    use crossbeam_channel::{Receiver, bounded};
    use messages::peer::{Call, Responder};
    use model::{MemberInfo, MemberRefusal};
    use prost::Message as _;

    type Heard = Receiver<Result<bytes::Bytes, NoAnswer>>;

    /// Member 2 asks for the promotion of member 9.
    fn asked() -> (Asked<PromoteLearner>, Heard) {
        let (told, heard) = bounded(1);
        let respond = Responder::new(4, move |answer| told.send(answer.result).expect("answered once"));
        let body = Learner { id: 9 }.encode_to_vec().into();
        let call = Call { id: 4, kind: PromoteLearner::KIND, deadline_millis: 500, body };
        let place = CallsInHand::default().place(2).expect("the first");
        (Asked::read(2, call, respond, place).expect("sound"), heard)
    }

    /// What the client of member 2 hears when the core of the leader answers so.
    fn told(result: Result<Applied, RequestError>) -> Result<Applied, RequestError> {
        let (inbox, core, _) = Inbox::new();
        let promotions = AskedPromotions::new(core, SinkId(5));
        let (asked, heard) = asked();
        promotions.ask(asked);
        let order = inbox.control.try_recv().expect("the core is asked");
        let Control::ChangeMembership {
            sink: SinkId(5),
            token,
            change: MemberChange::Promote { id: 9 },
            forwarded: true,
        } = order
        else {
            panic!("{order:?}")
        };
        promotions.deliver(vec![Reply { token, body: ReplyBody::Applied(result) }]);
        let body = heard.try_recv().expect("answered").expect("with what the core says");
        answered(9, Promotion::decode(body).expect("whole"))
    }

    #[test]
    fn the_client_of_another_member_hears_what_the_leader_says() {
        let member = MemberInfo { id: 9, name: "n".into(), peer_urls: vec!["u".into()], ..MemberInfo::default() };
        let outcome = Outcome::Members { changed: 9, members: vec![member] };
        let done = Applied { revision: 4, term: 3, result: Ok(outcome) };
        assert_eq!(told(Ok(done.clone())), Ok(done));
        let refused = |why| Applied { revision: 4, term: 3, result: Err(ApplyError::Member(why)) };
        for why in [MemberRefusal::NotFound, MemberRefusal::NotLearner, MemberRefusal::Removed] {
            assert_eq!(told(Ok(refused(why))), Err(why.into()));
        }
        for why in [MemberRefusal::LearnerNotReady, MemberRefusal::NotEnoughStarted, MemberRefusal::Pending] {
            assert_eq!(told(Err(why.into())), Err(why.into()));
        }
        assert_eq!(told(Err(RequestError::NotLeader)), Err(RequestError::LeaderChanged), "it was asked too late");
        assert_eq!(told(Err(RequestError::TimeoutLeaderLost)), Err(RequestError::Timeout), "unknown is unknown");
    }

    #[test]
    fn a_core_that_has_too_much_to_do_is_said_to_be_busy() {
        let (_inbox, core, _) = Inbox::new();
        while core.control(Control::Stop) {}
        let promotions = AskedPromotions::new(core, SinkId(5));
        let (asked, heard) = asked();
        promotions.ask(asked);
        assert_eq!(heard.try_recv(), Ok(Err(NoAnswer::Busy)));
    }
}

//! The account of one request: what is set aside for it, and what it has used when it ends, however
//! it ends.

use std::sync::Arc;

use actix_web::HttpResponse;
use messages::{
    fault::{Fault, FaultKind},
    llmserver::{Completion, StreamOptions},
};
use serde_json::{Map, Value, json};

use super::{
    ceiling::Ceiling,
    cost::{Cost, likely_tokens},
    known::KnownModels,
    sse::{self, Fate},
};
use crate::http::{
    Edge,
    caller::Allowed,
    error::{Problem, as_openai},
    tally::Tally,
};

/// More tokens than any request uses. An upstream that claims more is not believed.
const MOST_CREDIBLE: u64 = 1 << 32;

/// The account of one request. What is booked is in the request's tally at each moment, because a
/// client that leaves drops everything else.
pub(crate) struct Account {
    tally: Option<Tally>,
    /// The most tokens of one answer, where less is left than such an answer may have.
    most: Option<u64>,
    /// Where a stream ends, for a key with a limit of tokens.
    ceiling: Option<Ceiling>,
    model: Option<Arc<str>>,
    /// Completion tokens that the answer has told of, and those of the pieces since.
    completion: u64,
}

impl Account {
    /// Sets tokens aside for a request that asks `model`. Until the answer is there, the prompt
    /// counts as read.
    ///
    /// # Errors
    /// That of [`Tally::reserve`].
    pub(crate) fn open<S>(caller: &Allowed<S>, model: &str, cost: Cost) -> Result<Self, Problem> {
        let (tally, edge) = (caller.tally().cloned(), caller.edge());
        let known = edge.models.find(model);
        let (mut most, mut ceiling) = (None, None);
        if let Some(tally) = &tally {
            let wanted = cost.range(edge.completion_tokens);
            let taken = tally.reserve(wanted.clone())?;
            ceiling = taken.map(|taken| Ceiling::new(&cost, taken, edge.completion_tokens));
            let short = taken.filter(|taken| taken < wanted.end());
            most = short.and_then(|taken| cost.rest(taken));
            tally.note(|facts| {
                facts.prompt_tokens = cost.likely_prompt();
                facts.model.clone_from(&known);
            });
        }
        Ok(Self {
            tally,
            most,
            ceiling,
            model: known,
            completion: 0,
        })
    }

    /// Names the most tokens of an answer where the request does not, and fewer are left to its
    /// key than are usually set aside. Elsewhere the model's own bound holds.
    pub(crate) fn cap(&self, fields: &mut Map<String, Value>, name: &str) {
        if let Some(most) = self.most {
            fields.insert(name.to_owned(), most.into());
        }
    }

    /// Answers a chat or a completion. `usage_wanted` is whether a stream's reader asked for its
    /// usage.
    ///
    /// # Errors
    /// The fault that came in its place.
    pub(crate) fn answer(
        mut self,
        answer: Result<Completion, Fault>,
        model: &str,
        usage_wanted: bool,
        edge: &Edge,
    ) -> Result<HttpResponse, Problem> {
        let answer = self.outcome(answer)?;
        self.answered_by(model, &edge.models);
        Ok(match answer {
            Completion::Whole(value) => {
                self.whole(&value, &edge.models);
                HttpResponse::Ok().json(value)
            }
            Completion::Chunks(deltas) => sse::respond_with(
                deltas,
                &edge.drain,
                move |piece: Result<&mut Value, &Fault>| {
                    let chunk = match piece {
                        Ok(chunk) => chunk,
                        Err(fault) => {
                            self.broke_off(fault);
                            return Fate::Last;
                        }
                    };
                    if !self.chunk(chunk) {
                        self.cut(chunk, usage_wanted);
                        return Fate::Last;
                    }
                    match usage_wanted || !is_usage_alone(chunk) {
                        true => Fate::Sent,
                        false => Fate::LeftOut,
                    }
                },
            ),
        })
    }

    /// The same for a request whose text is embedded by the way, and which names no model.
    ///
    /// # Errors
    /// That of [`Tally::reserve`].
    pub(crate) fn open_for_texts<S>(
        caller: &Allowed<S>,
        texts: impl Iterator<Item = usize>,
    ) -> Result<Self, Problem> {
        Self::open(caller, "", Cost::of_embedding(texts, 0))
    }

    /// Books the tokens that were read by the way, or takes the prompt back as [`Self::outcome`]
    /// does.
    pub(crate) fn read<T>(&self, outcome: &Result<T, Fault>, tokens: impl FnOnce(&T) -> u64) {
        match outcome {
            Ok(answer) => self.book_prompt(tokens(answer).min(MOST_CREDIBLE)),
            Err(fault) => self.take_back(fault),
        }
    }

    /// Books what an answer of vectors has read.
    pub(crate) fn embedded(&mut self, model: &str, prompt_tokens: u64, models: &KnownModels) {
        self.answered_by(model, models);
        if (1..=MOST_CREDIBLE).contains(&prompt_tokens) {
            self.book_prompt(prompt_tokens);
        }
    }

    /// Takes the prompt back where nothing was done with it.
    ///
    /// # Errors
    /// The fault of `outcome`.
    pub(crate) fn outcome<T>(&self, outcome: Result<T, Fault>) -> Result<T, Problem> {
        outcome.map_err(|fault| {
            self.take_back(&fault);
            as_openai(fault)
        })
    }

    fn take_back(&self, fault: &Fault) {
        let worked = matches!(fault.kind, FaultKind::TimedOut | FaultKind::Cancelled);
        if !worked {
            self.book_prompt(0);
        }
    }

    fn answered_by(&mut self, model: &str, models: &KnownModels) {
        if self.model.is_none() && !model.is_empty() {
            self.model = models.learn(model);
        }
        if let Some(tally) = &self.tally {
            tally.note(|facts| facts.model.clone_from(&self.model));
        }
    }

    fn whole(&mut self, value: &Value, models: &KnownModels) {
        if self.model.is_none() {
            let named = value.get("model").and_then(Value::as_str);
            self.answered_by(named.unwrap_or_default(), models);
        }
        match usage(value) {
            Some(told) => self.believe(told),
            None => {
                let choices = value.get("choices");
                self.book_completion(choices.map_or(0, likely_tokens));
            }
        }
    }

    /// A piece of a stream: its usage where it tells it, else an estimate, at least a token. Answers
    /// whether it may be sent.
    fn chunk(&mut self, chunk: &Value) -> bool {
        let choices = chunk.get("choices").and_then(Value::as_array);
        let choices = choices.map(Vec::as_slice).unwrap_or_default();
        let tokens = choices.iter().map(|choice| {
            let said = choice.get("delta").or_else(|| choice.get("text"));
            said.map_or(0, |said| match said {
                Value::Object(fields) => pieces(fields),
                text => likely_tokens(text),
            })
        });
        let tokens: u64 = tokens.sum();
        if let (Some(ceiling), Some(tally)) = (&mut self.ceiling, &self.tally)
            && !ceiling.admits(choices, tokens, tally)
        {
            return false;
        }
        if let Some(tally) = self.tally.as_ref().filter(|_| tokens > 0) {
            tally.piece();
        }
        match usage(chunk) {
            Some(told) => self.believe(told),
            None if tokens > 0 => self.book_completion(self.completion.saturating_add(tokens)),
            None => {}
        }
        true
    }

    fn broke_off(&self, fault: &Fault) {
        if let Some(tally) = &self.tally {
            tally.note(|facts| facts.broke_off = Some(fault.kind));
        }
    }

    /// Makes `chunk` the last of a stream that went beyond what its key has set aside, and books no
    /// more than that.
    fn cut(&mut self, chunk: &mut Value, usage_wanted: bool) {
        let (Some(ceiling), Some(fields)) = (&self.ceiling, chunk.as_object_mut()) else {
            return;
        };
        ceiling.end(fields);
        fields.remove("usage");
        let most = ceiling.set_aside();
        self.book_completion(self.completion.min(most));
        if usage_wanted {
            fields.insert("usage".to_owned(), self.told());
        }
    }

    /// What is booked, as an answer tells it.
    fn told(&self) -> Value {
        let mut prompt = 0;
        if let Some(tally) = &self.tally {
            tally.note(|facts| prompt = facts.prompt_tokens);
        }
        let (completion, total) = (self.completion, prompt.saturating_add(self.completion));
        json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total})
    }

    fn believe(&mut self, told: Told) {
        if let Some(prompt) = told.prompt {
            self.book_prompt(prompt);
        }
        self.book_completion(told.completion);
    }

    fn book_prompt(&self, tokens: u64) {
        if let Some(tally) = &self.tally {
            tally.note(|facts| facts.prompt_tokens = tokens);
        }
    }

    fn book_completion(&mut self, tokens: u64) {
        self.completion = tokens;
        if let Some(tally) = &self.tally {
            tally.note(|facts| facts.completion_tokens = tokens);
        }
    }
}

/// Lets a stream tell its usage, which the account needs; answers whether the client asked too.
pub(crate) fn ask_for_usage(options: &mut Option<StreamOptions>) -> bool {
    let options = options.get_or_insert_default();
    std::mem::replace(&mut options.include_usage, true)
}

struct Told {
    prompt: Option<u64>,
    completion: u64,
}

fn usage(value: &Value) -> Option<Told> {
    let usage = value.get("usage")?.as_object()?;
    let count = |name: &str| {
        let count = usage.get(name)?.as_u64()?;
        (count <= MOST_CREDIBLE).then_some(count)
    };
    let (prompt, completion) = (count("prompt_tokens"), count("completion_tokens"));
    (prompt.is_some() || completion.is_some()).then(|| Told {
        prompt,
        completion: completion.unwrap_or_default(),
    })
}

/// Whether a chunk holds nothing but the usage, which is sent to those alone who ask for it.
/// Elsewhere OpenAI says `"usage": null` once it was asked: that goes too.
fn is_usage_alone(chunk: &mut Value) -> bool {
    let Some(fields) = chunk.as_object_mut() else {
        return false;
    };
    if fields.get("usage").is_some_and(Value::is_null) {
        fields.remove("usage");
    }
    let choices = fields.get("choices").and_then(Value::as_array);
    fields.contains_key("usage") && choices.is_none_or(Vec::is_empty)
}

/// The tokens of a delta without its role.
fn pieces(delta: &Map<String, Value>) -> u64 {
    let said = delta.iter().filter(|(name, _)| *name != "role");
    said.map(|(_, value)| likely_tokens(value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            tally: None,
            most: None,
            ceiling: None,
            model: None,
            completion: 0,
        }
    }

    fn delta(text: &str) -> Value {
        json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]})
    }

    #[test]
    fn pieces_are_estimated_until_the_usage_is_told_and_after_it_again() {
        let mut account = account();
        account.chunk(&delta(""));
        assert_eq!(account.completion, 0);
        account.chunk(&delta("a"));
        account.chunk(&delta("abcdefgh"));
        assert_eq!(account.completion, 3);
        account
            .chunk(&json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}));
        assert_eq!(account.completion, 2);
        account.chunk(&delta("x"));
        assert_eq!(account.completion, 3);
        account.chunk(&json!({"choices": [{"index": 0, "text": "abcde"}]}));
        assert_eq!(account.completion, 5);
    }

    #[test]
    fn a_usage_that_cannot_be_is_not_believed() {
        for wrong in [json!(-1), json!("9"), json!(u64::MAX), json!(1.5)] {
            let chunk = json!({"usage": {"prompt_tokens": wrong, "completion_tokens": wrong}});
            assert!(usage(&chunk).is_none(), "{chunk}");
        }
    }

    #[test]
    fn only_a_chunk_of_usage_alone_is_left_out() {
        let mut alone = json!({"choices": [], "usage": {"prompt_tokens": 1}});
        assert!(is_usage_alone(&mut alone));
        let mut piece = json!({"choices": [{"delta": {}}], "usage": null});
        assert!(!is_usage_alone(&mut piece));
        assert_eq!(piece, json!({"choices": [{"delta": {}}]}));
    }
}

//! What the domain name system said, for as long as it holds.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;
use tapi::Time;
use tspi::{LookupError, Output, Query, Records};

/// Most answers that are kept.
const MAX_ANSWERS: usize = 4_096;
/// Longest and shortest time that an answer holds, whatever its time to live: a search takes several answers, and the first
/// must still hold when the last comes.
const HOLDS: (u64, u64) = (5, 86_400);
/// The same for "no such name".
const NEGATIVE: (u64, u64) = (5, 900);
/// How long a failure holds.
const FAILED: u64 = 5;
/// How long an answer may take; a shell has shorter limits of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    query: Query,
    result: Result<Records, LookupError>,
    until: Time,
}

/// Answers, and questions that are asked. They are kept in order of their query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cache {
    answers: Vec<Answer>,
    asked: Vec<(Query, Time)>,
}

impl Cache {
    fn at(&self, query: &Query) -> Result<usize, usize> {
        self.answers.binary_search_by(|answer| answer.query.cmp(query))
    }

    /// What is known.
    pub fn find(&self, now: Time, query: &Query) -> Option<&Result<Records, LookupError>> {
        let answer = self.answers.get(self.at(query).ok()?)?;
        (answer.until > now).then_some(&answer.result)
    }

    /// When an answer no longer holds.
    pub fn until(&self, query: &Query) -> Option<Time> {
        Some(self.answers.get(self.at(query).ok()?)?.until)
    }

    /// Asks what is not asked already.
    pub fn ask(&mut self, now: Time, query: Query, outputs: &mut VecDeque<Output>) {
        self.asked.retain(|(_, since)| now < *since + PATIENCE);
        if self.asked.len() < MAX_ANSWERS && !self.asked.iter().any(|(asked, _)| *asked == query) {
            self.asked.push((query.clone(), now));
            outputs.push_back(Output::Lookup { query });
        }
    }

    /// An answer came.
    pub fn put(&mut self, now: Time, query: &Query, result: Result<Records, LookupError>) {
        self.asked.retain(|(asked, _)| asked != query);
        let seconds = match &result {
            Ok(records) => u64::from(records.ttl_s).clamp(HOLDS.0, HOLDS.1),
            Err(LookupError::None { ttl_s }) => u64::from(*ttl_s).clamp(NEGATIVE.0, NEGATIVE.1),
            Err(_) => FAILED,
        };
        let answer = Answer { query: query.clone(), result, until: now + Duration::from_secs(seconds) };
        match self.at(query) {
            Ok(at) => {
                if let Some(known) = self.answers.get_mut(at) {
                    *known = answer;
                }
            }
            Err(_) => {
                if self.answers.len() >= MAX_ANSWERS {
                    self.make_room(now);
                }
                let at = self.at(query).unwrap_or_else(|at| at);
                self.answers.insert(at, answer);
            }
        }
    }

    fn make_room(&mut self, now: Time) {
        self.answers.retain(|answer| answer.until > now);
        if self.answers.len() >= MAX_ANSWERS
            && let Some(first) = (0..self.answers.len()).min_by_key(|at| self.answers.get(*at).map(|a| a.until))
        {
            self.answers.remove(first);
        }
    }
}

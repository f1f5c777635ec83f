//! Turns to run: so many queries at once, and where more want to, each principal's next one in its turn, so that nobody waits
//! behind all the queries of another.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{Code, Error, Principal};

/// Queries of one principal that may wait.
const WAITING: usize = 256;

/// Who asks: a name, of a tenant, with so many queries at once.
type Who = (String, Option<String>, usize);

/// The turns of one engine.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    at_once: usize,
    running: HashMap<Who, usize>,
    total: usize,
    waiting: HashMap<Who, VecDeque<oneshot::Sender<Turn>>>,
    /// Those who wait, in the order in which they are asked.
    order: VecDeque<Who>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// None = it was given back already.
    of: Option<(Arc<Mutex<State>>, Who)>,
}

impl Turns {
    /// So many turns at once.
    pub(crate) fn new(at_once: usize) -> Self {
        let state =
            State { at_once, running: HashMap::new(), total: 0, waiting: HashMap::new(), order: VecDeque::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The next turn of a principal that has no more than `own` at once. Who no longer waits for it loses none.
    ///
    /// # Errors
    /// `overloaded` where too many of its queries wait already.
    pub(crate) async fn take(&self, principal: &Principal, own: usize) -> Result<Turn, Error> {
        let who = (principal.name().to_owned(), principal.tenant().map(str::to_owned), own);
        let waits = {
            let mut state = locked(&self.state);
            if !state.waiting.contains_key(&who) && state.has_room(&who) {
                return Ok(state.give(&self.state, who));
            }
            let (sender, receiver) = oneshot::channel();
            let queue = state.waiting.entry(who.clone()).or_default();
            queue.retain(|waiting| !waiting.is_closed());
            if queue.len() >= WAITING {
                return Err(busy());
            }
            queue.push_back(sender);
            if queue.len() == 1 && !state.order.contains(&who) {
                state.order.push_back(who);
            }
            receiver
        };
        waits.await.map_err(|_| busy())
    }
}

/// The error of a query whose turn does not come.
pub(crate) fn busy() -> Error {
    Error::new(Code::Overloaded, "The engine is busy with other queries.")
        .hint("Ask again in a moment, or raise limits.concurrent_queries.")
        .retry_after(Duration::from_secs(1))
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn has_room(&self, who: &Who) -> bool {
        self.total < self.at_once && self.running.get(who).is_none_or(|running| *running < who.2)
    }

    fn give(&mut self, state: &Arc<Mutex<State>>, who: Who) -> Turn {
        self.total += 1;
        *self.running.entry(who.clone()).or_default() += 1;
        Turn { of: Some((Arc::clone(state), who)) }
    }

    fn take_back(&mut self, who: &Who) {
        self.total -= 1;
        if let Some(running) = self.running.get_mut(who) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(who);
            }
        }
    }

    /// Gives turns to those who wait, one to each in its turn.
    fn serve(&mut self, state: &Arc<Mutex<State>>) {
        // Once around without a turn, nobody can have one.
        let mut passed = 0;
        while self.total < self.at_once && passed < self.order.len() {
            let Some(who) = self.order.pop_front() else { return };
            passed += 1;
            if self.has_room(&who)
                && let Some(waiting) = self.next(&who)
            {
                passed = 0;
                let turn = self.give(state, who.clone());
                if let Err(mut turn) = waiting.send(turn) {
                    // Who asked has left. The lock is held here, so that the turn must not give itself back.
                    turn.of = None;
                    self.take_back(&who);
                }
            }
            match self.waiting.get(&who).is_some_and(|queue| !queue.is_empty()) {
                true => self.order.push_back(who),
                false => drop(self.waiting.remove(&who)),
            }
        }
    }

    fn next(&mut self, who: &Who) -> Option<oneshot::Sender<Turn>> {
        let queue = self.waiting.get_mut(who)?;
        while let Some(waiting) = queue.pop_front() {
            if !waiting.is_closed() {
                return Some(waiting);
            }
        }
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((state, who)) = self.of.take() {
            let mut locked = locked(&state);
            locked.take_back(&who);
            locked.serve(&state);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    fn principal(name: &str) -> Principal {
        Principal::new(name, [])
    }

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_principal_with_many_queries_does_not_keep_another_waiting() {
        let turns = Turns::new(2);
        let mut greedy = vec![
            turns.take(&principal("a"), usize::MAX).await.unwrap(),
            turns.take(&principal("a"), usize::MAX).await.unwrap(),
        ];
        let mut waiting = JoinSet::new();
        for _ in 0..50 {
            let turns = turns.clone();
            // Kept for as long as the test lasts.
            waiting.spawn(async move {
                (turns.take(&principal("a"), usize::MAX).await, std::future::pending::<()>().await)
            });
        }
        tokio::task::yield_now().await;
        let mut other = JoinSet::new();
        let of_other = turns.clone();
        other.spawn(async move { of_other.take(&principal("b"), usize::MAX).await.map(drop) });
        tokio::task::yield_now().await;
        // The first that is free is for who has waited longest, the next one for the other principal.
        greedy.pop();
        greedy.pop();
        timeout(Duration::from_secs(5), other.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn nobody_has_more_than_its_own() {
        let turns = Turns::new(10);
        let one = turns.take(&principal("a"), 2).await.unwrap();
        let _two = turns.take(&principal("a"), 2).await.unwrap();
        assert!(timeout(SOON, turns.take(&principal("a"), 2)).await.is_err());
        let _other = timeout(SOON, turns.take(&principal("b"), 2)).await.unwrap().unwrap();
        drop(one);
        let _third = timeout(SOON, turns.take(&principal("a"), 2)).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_leaves_the_queue_takes_no_turn_along() {
        let turns = Turns::new(1);
        for _ in 0..20 {
            let held = turns.take(&principal("a"), 1).await.unwrap();
            assert!(timeout(Duration::from_millis(1), turns.take(&principal("b"), 1)).await.is_err());
            drop(held);
        }
        let left = |turns: &Turns| {
            let state = locked(&turns.state);
            (state.total, state.running.len())
        };
        assert_eq!(left(&turns), (0, 0));
        timeout(SOON, turns.take(&principal("c"), 1)).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_queue_of_a_principal_has_an_end() {
        let turns = Turns::new(1);
        let _held = turns.take(&principal("a"), 1).await.unwrap();
        let mut waiting = JoinSet::new();
        for _ in 0..WAITING + 5 {
            let turns = turns.clone();
            waiting.spawn(async move { turns.take(&principal("a"), 1).await.map(drop) });
        }
        let mut refused = 0;
        for _ in 0..5 {
            refused += usize::from(waiting.join_next().await.unwrap().unwrap().is_err());
        }
        assert_eq!(refused, 5);
    }
}

//! Who waits for which service: links between the two, in one pool.

use alloc::vec::Vec;

use model::service::database::Index;
use model::service::reason::Reason;

use super::requests::Request;
use super::{Action, INIT, Manager, News, SELF};

/// No link.
pub(super) const NONE: u32 = u32::MAX;

/// That a request waits for a service.
pub(super) struct Link {
    pub request: u32,
    pub service: Index,
    pub kind: Kind,
    /// It does not wait any more.
    pub done: bool,
    /// The next one that waits for the service.
    pub next: u32,
    /// The next one of the request, or the next free one.
    pub next_own: u32,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// That the service is as its goal says.
    Goal,
    /// That the reload which runs is over.
    Reload,
    /// That one which begins from now on is over.
    NextReload,
    /// That init is there and can be asked for a reload.
    LaterReload,
}

impl Manager {
    pub(super) fn link(&mut self, place: u32, service: Index, kind: Kind) {
        let request = self.requests[place as usize].as_mut().expect("the request has not ended");
        request.pending += 1;
        let waiters = &mut self.units[service as usize].waiters;
        let link = Link {
            request: place,
            service,
            kind,
            done: false,
            next: *waiters,
            next_own: request.links,
        };
        let at = self.free_link;
        let at = match self.links.get_mut(at as usize) {
            Some(free) => {
                self.free_link = free.next_own;
                *free = link;
                at
            }
            None => {
                self.links.push(link);
                self.links.len() as u32 - 1
            }
        };
        *waiters = at;
        request.links = at;
    }

    /// What was waited for has come, or will not.
    pub(super) fn settle(&mut self, service: Index, kind: Kind, news: News) {
        let mut at = core::mem::replace(&mut self.units[service as usize].waiters, NONE);
        while at != NONE {
            let link = &mut self.links[at as usize];
            let (this, next) = (at, link.next);
            if link.kind == kind {
                link.done = true;
                let place = link.request;
                let request = self.request(place);
                request.pending -= 1;
                if request.pending == 0 {
                    self.finished.push(place);
                }
                match news {
                    News::Failed(reason) => self.fail_one(place, service, reason),
                    _ => self.tell(place, service, news),
                }
            } else {
                link.next = core::mem::replace(&mut self.units[service as usize].waiters, this);
            }
            at = next;
        }
    }

    /// Somebody waits for this of a service.
    pub(super) fn has_link(&self, service: Index, kind: Kind) -> bool {
        let mut at = self.units[service as usize].waiters;
        while let Some(link) = self.links.get(at as usize) {
            if link.kind == kind {
                return true;
            }
            at = link.next;
        }
        false
    }

    /// The request waits for this service already.
    pub(super) fn waits(&self, place: u32, service: Index) -> bool {
        let mut at = self.units[service as usize].waiters;
        while let Some(link) = self.links.get(at as usize) {
            if link.request == place && link.kind == Kind::Goal {
                return true;
            }
            at = link.next;
        }
        false
    }

    /// Those who wait for the next reload wait for this one now. `false`:
    /// there are none.
    pub(super) fn promote_reloads(&mut self, service: Index) -> bool {
        let mut any = false;
        let mut at = self.units[service as usize].waiters;
        while let Some(link) = self.links.get_mut(at as usize) {
            if link.kind == Kind::NextReload {
                link.kind = Kind::Reload;
                any = true;
            }
            at = link.next;
        }
        any
    }

    /// Ends a wait of this kind and says whose it was.
    pub(super) fn take_link(&mut self, service: Index, kind: Kind) -> Option<u32> {
        let mut at = self.units[service as usize].waiters;
        while let Some(link) = self.links.get_mut(at as usize) {
            if link.kind == kind {
                link.done = true;
                let place = link.request;
                self.unlink(service, at);
                self.request(place).pending -= 1;
                return Some(place);
            }
            at = link.next;
        }
        None
    }

    /// Tells those who wait for a service that its turn has come.
    pub(super) fn progress(&mut self, service: Index, news: News) {
        let mut at = self.units[service as usize].waiters;
        while at != NONE {
            let Link { request, next, .. } = self.links[at as usize];
            self.tell(request, service, news);
            at = next;
        }
    }

    pub(super) fn unlink(&mut self, service: Index, gone: u32) {
        let next = self.links[gone as usize].next;
        let mut at = self.units[service as usize].waiters;
        if at == gone {
            self.units[service as usize].waiters = next;
            return;
        }
        while let Some(link) = self.links.get_mut(at as usize) {
            if link.next == gone {
                link.next = next;
                return;
            }
            at = link.next;
        }
    }

    pub(super) fn free_links(&mut self, mut at: u32) {
        while at != NONE {
            let link = &mut self.links[at as usize];
            let next = core::mem::replace(&mut link.next_own, self.free_link);
            self.free_link = at;
            at = next;
        }
        // One that asked for a thousand services is not to be remembered for
        // ever.
        if self.requests.iter().all(Option::is_none) {
            self.links = Vec::new();
            self.free_link = NONE;
        }
    }

    pub(super) fn tell(&mut self, place: u32, service: Index, news: News) {
        let &mut Request { client, id, detail, .. } = self.request(place);
        if detail {
            self.actions.push(Action::Tell { client, id, service, news });
        }
    }

    pub(super) fn fail_one(&mut self, place: u32, service: Index, reason: Reason<Index>) {
        let request = self.request(place);
        request.failed += 1;
        let (client, id) = (request.client, request.id);
        if client != INIT && client != SELF {
            self.actions.push(Action::Tell { client, id, service, news: News::Failed(reason) });
        }
    }
}

//! Listings that the server returns in pages.

use super::retry::Retry;
use super::{Client, Error};
use tonic::{Request, Response, Status};

impl Client {
    /// The items of all pages of a listing. `request` makes the request for the page of a token (the empty token for the first);
    /// `parts` splits a response into its items and the token of the next page (empty after the last).
    pub(super) async fn all_pages<Req: Clone, Res, Item>(
        &self,
        request: impl Fn(String) -> Req,
        call: impl AsyncFn(&Self, Request<Req>) -> Result<Response<Res>, Status> + Copy,
        parts: impl Fn(Res) -> (Vec<Item>, String),
    ) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        let mut page_token = String::new();
        loop {
            let (more, next_page_token) = parts(self.unary(Retry::Safe, request(page_token), call).await?);
            items.extend(more);
            if next_page_token.is_empty() {
                return Ok(items);
            }
            page_token = next_page_token;
        }
    }
}

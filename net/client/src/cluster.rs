//! Members of the cluster. Must never change the client's own endpoints: [`Client::sync_endpoints`] does, when it is asked.

use crate::client::Client;
use crate::error::Error;
use crate::transport::method;
use api::etcdserverpb as pb;
pub use api::etcdserverpb::Member;

impl Client {
    /// All members, as the cluster agrees on them.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let request = pb::MemberListRequest { linearizable: true };
        let list: pb::MemberListResponse = self.call(method::MEMBER_LIST, request).await?;
        Ok(list.members)
    }

    /// Adds a member that others reach at these URLs; as a learner it has no vote until it is promoted.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn add_member(&self, peer_urls: Vec<String>, learner: bool) -> Result<Member, Error> {
        let request = pb::MemberAddRequest { peer_urls, is_learner: learner };
        let added: pb::MemberAddResponse = self.call(method::MEMBER_ADD, request).await?;
        Ok(added.member.unwrap_or_default())
    }

    /// Makes a voter of a learner that has caught up.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn promote_member(&self, id: u64) -> Result<(), Error> {
        let _: pb::MemberPromoteResponse = self.call(method::MEMBER_PROMOTE, pb::MemberPromoteRequest { id }).await?;
        Ok(())
    }

    /// Changes the URLs at which others reach a member.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn update_member(&self, id: u64, peer_urls: Vec<String>) -> Result<(), Error> {
        let request = pb::MemberUpdateRequest { id, peer_urls };
        let _: pb::MemberUpdateResponse = self.call(method::MEMBER_UPDATE, request).await?;
        Ok(())
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn remove_member(&self, id: u64) -> Result<(), Error> {
        let _: pb::MemberRemoveResponse = self.call(method::MEMBER_REMOVE, pb::MemberRemoveRequest { id }).await?;
        Ok(())
    }
}

//! Names and kinds of methods.

/// How many messages flow, as grpc-go's metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// One request, one answer.
    Unary,
    /// One request, many answers.
    ServerStream,
    /// Many requests, many (or one) answers.
    Bidi,
}

impl MethodKind {
    /// Label `grpc_type`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::Bidi => "bidi_stream",
        }
    }
}

/// Name and index of a method.
#[derive(Clone, Debug)]
pub struct MethodInfo {
    /// Place in the table, counting from 0 in order of registration: an index for arrays of counters.
    pub index: usize,
    /// `/package.Service/Method`.
    pub path: String,
    /// `package.Service`.
    pub service: String,
    /// `Method`.
    pub method: String,
    /// Its kind.
    pub kind: MethodKind,
}

//! The JSON gateway: answers to the letter, streams, WebSocket, HTTP/2, who may call it, and clients that mean no good.

mod access;
mod golden;
mod hostile;
mod paths;
mod streams;
mod websocket;

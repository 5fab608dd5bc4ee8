//! RangeStream: merged, its chunks are the unary answer.

use api::etcdserverpb::{RangeRequest, RangeResponse, SortOrder, SortTarget};
use harness::request::{all, prefix, range};
use harness::server::on_server;
use harness::{Stubs, expect_status};
use tonic::{Code, Status};

/// All chunks.
async fn chunks(stubs: &Stubs, request: RangeRequest) -> Result<Vec<RangeResponse>, Status> {
    let mut stream = stubs.kv.clone().range_stream(request).await?.into_inner();
    let mut out = Vec::new();
    while let Some(chunk) = stream.message().await? {
        out.push(chunk.range_response.expect("a chunk holds an answer"));
    }
    Ok(out)
}

async fn fill(stubs: &Stubs, keys: usize) {
    for i in 0..keys {
        stubs.put(format!("s{i:04}"), vec![b'x'; 1 + i % 700]).await;
    }
}

#[test]
fn merged_chunks_are_the_unary_answer() {
    on_server(async |server| {
        fill(&server.stubs, 400).await;
        let requests = [
            all(),
            RangeRequest { limit: 17, ..all() },
            RangeRequest { limit: 400, ..all() },
            RangeRequest { keys_only: true, ..all() },
            RangeRequest { revision: 200, ..all() },
            RangeRequest { count_only: true, ..all() },
            RangeRequest { serializable: true, ..prefix("s01") },
            RangeRequest { sort_order: SortOrder::Ascend as i32, ..all() },
            range("none", "nonf"),
        ];
        for request in requests {
            let name = format!("{request:?}");
            let unary = server.stubs.range(request.clone()).await.expect(&name);
            let chunks = chunks(&server.stubs, request).await.expect(&name);
            let (last, before) = chunks.split_last().expect("at least one chunk");
            for chunk in before {
                assert_eq!((&chunk.header, chunk.more, chunk.count), (&None, false, 0), "{name}: only the last tells");
            }
            assert_eq!((last.header, last.more, last.count), (unary.header, unary.more, unary.count), "{name}");
            let kvs: Vec<_> = chunks.into_iter().flat_map(|c| c.kvs).collect();
            assert!(kvs == unary.kvs, "{name}: key-values differ");
        }
    });
}

#[test]
fn a_long_stream_stays_at_its_revision_while_keys_change() {
    on_server(async |server| {
        fill(&server.stubs, 300).await;
        let mut stream = server.stubs.kv.clone().range_stream(all()).await.expect("stream").into_inner();
        let mut kvs = Vec::new();
        let mut round = 0;
        while let Some(chunk) = stream.message().await.expect("a chunk") {
            kvs.extend(chunk.range_response.expect("an answer").kvs);
            server.stubs.put(format!("s{:04}", 299 - round), "changed").await;
            server.stubs.delete(format!("s{:04}", 200 - round), "").await;
            round += 1;
        }
        assert_eq!(kvs.len(), 300);
        assert!(kvs.iter().all(|kv| kv.mod_revision <= 301 && kv.value != "changed"));
    });
}

#[test]
fn orders_filters_and_bad_revisions_are_refused() {
    on_server(async |server| {
        server.stubs.put("a", "b").await;
        let sort = "RangeStream does not support custom sort orders";
        let filter = "RangeStream does not support revision filters";
        let future = "etcdserver: mvcc: required revision is a future revision";
        let by_mod =
            RangeRequest { sort_order: SortOrder::Ascend as i32, sort_target: SortTarget::Mod as i32, ..all() };
        let cases = [
            (RangeRequest { sort_order: SortOrder::Descend as i32, ..all() }, Code::Unimplemented, sort),
            (by_mod, Code::Unimplemented, sort),
            (RangeRequest { min_mod_revision: 1, ..all() }, Code::Unimplemented, filter),
            (RangeRequest { max_create_revision: 1, ..all() }, Code::Unimplemented, filter),
            (RangeRequest { revision: 3, ..all() }, Code::OutOfRange, future),
            (RangeRequest::default(), Code::InvalidArgument, "etcdserver: key is not provided"),
        ];
        for (request, code, text) in cases {
            let name = format!("{request:?}");
            expect_status(&name, chunks(&server.stubs, request).await, code, text);
        }
    });
}

// What a program elsewhere does with the published Connect client for Node.js: lists the sources, locates a transaction,
// streams everything up to it, and looks at errors. Prints one JSON document with what it saw; whether that is right is for
// who started it to say.
//
//   node client.js '{"url": "https://127.0.0.1:7946", "through": "UUID:NUMBER", "json": false, "gzip": true, "breakAfter": 0}'
//
// In the environment: TIDEMARK_TOKEN, and for TLS TIDEMARK_CA, the authority's PEM file.
import { readFileSync } from "node:fs";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { compressionGzip, createConnectTransport } from "@connectrpc/connect-node";

import { ArchiveService } from "./gen/tidemark/v1/archive_service_pb.js";
import { ErrorDetailSchema } from "./gen/tidemark/v1/error_pb.js";
import { StreamService } from "./gen/tidemark/v1/stream_service_pb.js";
import { GtidSet } from "./gtids.js";

const options = JSON.parse(process.argv[2]);
const ca = process.env.TIDEMARK_CA && readFileSync(process.env.TIDEMARK_CA);

function transport(token) {
  const authorize = (next) => (request) => {
    request.header.set("Authorization", `Bearer ${token}`);
    return next(request);
  };
  return createConnectTransport({
    baseUrl: options.url,
    httpVersion: "1.1",
    useBinaryFormat: !options.json,
    acceptCompression: options.gzip ? [compressionGzip] : [],
    interceptors: [authorize],
    nodeOptions: ca ? { ca } : {},
  });
}

// An error as a program sees it: Connect's code, and our own typed detail.
async function errorOf(call) {
  try {
    await call();
    return null;
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    const [detail] = error.findDetails(ErrorDetailSchema);
    return { code: Code[error.code], message: error.rawMessage, detail: detail ? { code: detail.code, hint: detail.hint } : null };
  }
}

// Streams what `received` has not, and puts it there. With breakAfter, hangs up after that many transactions.
async function stream(client, source, received, breakAfter) {
  const seen = { transactions: 0, parts: 0, bytes: 0, twice: 0, crossed: 0, formats: 0 };
  const hangUp = new AbortController();
  let open = null; // the transaction of which parts are still to come
  const range = { source, until: { case: "target", value: { point: { case: "throughGtid", value: options.through } } },
    received: received.toString() };
  try {
    for await (const message of client.streamTransactions({ range }, { signal: hangUp.signal })) {
      if (message.formatDescription.length > 0) seen.formats++;
      for (const part of message.parts) {
        seen.parts++;
        seen.bytes += part.data.length;
        if (open === null ? part.offset !== 0n : open.gtid !== part.gtid || open.bytes !== part.offset) seen.crossed++;
        open = part.last ? null : { gtid: part.gtid, bytes: part.offset + BigInt(part.data.length) };
        if (!part.last) continue;
        seen.transactions++;
        if (!received.add(part.gtid)) seen.twice++;
      }
      if (breakAfter && seen.transactions >= breakAfter) hangUp.abort();
    }
  } catch (error) {
    if (!hangUp.signal.aborted || ConnectError.from(error).code !== Code.Canceled) throw error;
    seen.hungUp = true;
  }
  return seen;
}

const archive = createClient(ArchiveService, transport(process.env.TIDEMARK_TOKEN));
const streams = createClient(StreamService, transport(process.env.TIDEMARK_TOKEN));
const nobody = createClient(ArchiveService, transport("tm_not_a_token"));

const listed = await archive.listSources({});
const source = listed.sources[0].name;
const located = await archive.locate({ source, at: { case: "gtid", value: options.through } });

const received = new GtidSet();
const streamed = [];
if (options.breakAfter) streamed.push(await stream(streams, source, received, options.breakAfter));
streamed.push(await stream(streams, source, received, 0));

const missing = options.through.replace(/:\d+$/, ":999999999");
const errors = {
  unary: await errorOf(() => archive.locate({ source, at: { case: "gtid", value: missing } })),
  stream: await errorOf(async () => {
    const range = { source, until: { case: "target", value: { point: { case: "throughGtid", value: missing } } } };
    for await (const message of streams.streamTransactions({ range })) throw new Error(`got ${message.parts.length} parts`);
  }),
  token: await errorOf(() => nobody.listSources({})),
  deadline: await errorOf(async () => {
    for await (const message of streams.streamEvents({ range: { source, until: { case: "follow", value: true },
      exclude: received.toString(), allowMissing: true } }, { timeoutMs: 300 })) void message;
  }),
};

console.log(JSON.stringify({
  archive: listed.archive,
  sources: listed.sources.map(({ name, serverUuids }) => ({ name, serverUuids })),
  located: { gtid: located.found.gtid, previous: located.previous.gtid, sourceFile: located.found.sourceFile,
    commitTimeUs: String(located.found.commitTimeUs) },
  streamed,
  gtids: received.toString(),
  errors,
}));

// The OpenTelemetry SDK for JavaScript exports over OTLP/HTTP: both encodings, both paths, compressed or not.

import { SpanKind, SpanStatusCode, context, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";
import { KEYS, URL, tell, tellOf } from "./telling.mjs";

const PATHS = { langfuse: "/api/public/otel/v1/traces", plain: "/v1/traces" };
const EXPORTERS = { protobuf: ProtobufExporter, json: JsonExporter };
const COMPRESSIONS = { NoCompression: "none", Gzip: "gzip" };

/** Remember what an exporter said of what it sent. */
class Watched {
  constructor(exporter) {
    this.exporter = exporter;
    this.results = [];
  }
  export(spans, done) {
    this.exporter.export(spans, (result) => {
      this.results.push(result.code === 0 ? "SUCCESS" : "FAILURE");
      done(result);
    });
  }
  shutdown() {
    return this.exporter.shutdown();
  }
  async forceFlush() {
    await this.exporter.forceFlush?.();
  }
}

/** Send one trace of two spans through an exporter. */
async function traced(exporter, name) {
  const watched = new Watched(exporter);
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({
      "service.name": "shop", "service.version": "3.1", "deployment.environment.name": "qa",
    }),
    spanProcessors: [new SimpleSpanProcessor(watched)],
  });
  const tracer = provider.getTracer("my.library", "1.2.3");
  const attributes = { "http.route": "/世", big: Number.MAX_SAFE_INTEGER };
  const root = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes });
  root.addEvent("seen", { n: 1 });
  const child = tracer.startSpan("child", {}, trace.setSpan(context.active(), root));
  child.recordException(new Error("no such 世"));
  child.setStatus({ code: SpanStatusCode.ERROR, message: "broken" });
  child.end();
  root.end();
  await provider.forceFlush().catch(() => {}); // what became of it, the exporter has told
  await provider.shutdown().catch(() => {});
  return {
    trace_id: root.spanContext().traceId, root: root.spanContext().spanId, child: child.spanContext().spanId,
    results: watched.results,
  };
}

tellOf("combinations", async () => {
  const told = {};
  for (const [encoding, Exporter] of Object.entries(EXPORTERS))
    for (const [path, where] of Object.entries(PATHS))
      for (const [shown, compression] of Object.entries(COMPRESSIONS)) {
        const name = `${encoding} ${path} ${shown}`;
        const headers = { Authorization: `Basic ${KEYS}` };
        told[name] = await traced(new Exporter({ url: URL + where, headers, compression }), name);
      }
  return told;
});

tellOf("by_environment", async () => {
  const told = {};
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `${URL}/api/public/otel`;
  process.env.OTEL_EXPORTER_OTLP_HEADERS = `Authorization=Basic%20${KEYS}`;
  for (const [name, Exporter] of Object.entries(EXPORTERS))
    told[name] = await traced(new Exporter(), `${name} by environment`);
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = URL;
  told["plain path"] = await traced(new ProtobufExporter(), "plain path by environment");
  return told;
});

tellOf("wrong_key", async () => {
  const headers = { Authorization: `Basic ${Buffer.from("pk-lf-compat:wrong").toString("base64")}` };
  const told = {};
  for (const [name, Exporter] of Object.entries(EXPORTERS))
    told[name] = (await traced(new Exporter({ url: URL + PATHS.plain, headers }), "refused")).results;
  return told;
});

await tell();

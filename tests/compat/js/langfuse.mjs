// The Langfuse SDK for JavaScript: traces, propagation, scores, prompts, datasets, experiments and media.

import { createHash } from "node:crypto";
import { LangfuseClient, LangfuseMedia } from "@langfuse/client";
import { LangfuseSpanProcessor } from "@langfuse/otel";
import {
  createTraceId, observe, propagateAttributes, setActiveTraceAsPublic, startActiveObservation, startObservation,
  updateActiveObservation,
} from "@langfuse/tracing";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { GROUPS, tell, tellOf } from "./telling.mjs";

const processor = new LangfuseSpanProcessor({ environment: "staging", release: "r-8" });
const provider = new NodeTracerProvider({ spanProcessors: [processor] });
provider.register();
const client = new LangfuseClient();
const SCRIPTS = "Grüße, 世界, שלום, مرحبا, 👩‍👩‍👧‍👦, \\ \" \n\t";
const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64",
);

/** Return the observations of a trace through the typed client, the oldest first. */
async function observations(traceId) {
  await processor.forceFlush();
  const { data } = await client.api.observations.getMany({ traceId, fields: GROUPS, limit: 100 });
  return data.sort((one, other) => (one.startTime < other.startTime ? -1 : 1));
}

tellOf("key", async () => ({
  projects: await client.api.projects.get(), url: await client.getTraceUrl("a".repeat(32)),
}));

tellOf("traced", async () => {
  const traceId = await propagateAttributes(
    {
      userId: "user-j", sessionId: "session-j", tags: ["js", "b"], metadata: { tenant: "acme" }, version: "7.2",
      traceName: "a JS trace",
    },
    () =>
      startActiveObservation("root", async (root) => {
        root.update({ input: { question: SCRIPTS }, output: SCRIPTS, metadata: { deep: { a: [1, 2] } } });
        const call = root.startObservation(
          "call",
          {
            model: "gpt-4o-mini", modelParameters: { temperature: 0.5 }, input: [{ role: "user", content: "hi" }],
            output: { role: "assistant", content: "hello" },
            usageDetails: { input: 100, output: 20, input_cached_tokens: 30 }, costDetails: { input: 0.01, output: 0.02 },
            completionStartTime: new Date(),
          },
          { asType: "generation" },
        );
        call.end();
        for (const asType of ["agent", "tool", "chain", "retriever", "embedding", "guardrail", "evaluator"])
          root.startObservation(`a ${asType}`, { input: asType }, { asType }).end();
        root.startObservation("an event", { level: "WARNING", statusMessage: "look" }, { asType: "event" });
        await startActiveObservation("inner", async () => {
          updateActiveObservation({ metadata: { late: true } });
          setActiveTraceAsPublic();
        });
        return root.traceId;
      }),
  );
  return { trace_id: traceId, typed: await observations(traceId), scripts: SCRIPTS };
});

tellOf("decorated", async () => {
  const failing = observe(
    async (what) => {
      throw new Error(`no such ${what}`);
    },
    { name: "failing" },
  );
  const adding = observe(async (a, b) => a + b, { name: "adding", asType: "tool" });
  const traceId = await startActiveObservation("decorated", async (root) => {
    await adding(1, 2);
    await failing("thing").catch(() => {});
    return root.traceId;
  });
  return { trace_id: traceId, typed: await observations(traceId) };
});

tellOf("ids", async () => {
  const traceId = await createTraceId("order-19");
  const parentSpanContext = { traceId, spanId: "00f067aa0ba902b7", traceFlags: 1 };
  startObservation("remote child", {}, { parentSpanContext }).end();
  return { trace_id: traceId, typed: await observations(traceId) };
});

tellOf("scores", async () => {
  const root = startObservation("scored");
  root.end();
  client.score.create({ traceId: root.traceId, name: "number", value: 0.75, comment: "grüßt", metadata: { judge: 1 } });
  client.score.create({ traceId: root.traceId, name: "truth", value: 1, dataType: "BOOLEAN" });
  client.score.create({ traceId: root.traceId, name: "class", value: "好", dataType: "CATEGORICAL" });
  client.score.observation(root, { name: "span", value: 3 });
  client.score.create({ sessionId: "session-js", name: "of a session", value: 1 });
  await client.flush();
  await processor.forceFlush();
  return {
    trace_id: root.traceId, span: root.id,
    typed: (await client.api.scoresV3.getManyV3({ traceId: root.traceId, fields: "details,subject", limit: 100 })).data,
    session: (await client.api.scoresV3.getManyV3({ sessionId: "session-js", fields: "subject" })).data,
  };
});

tellOf("prompts", async () => {
  const name = "js/greeting ü";
  await client.prompt.create({
    name, prompt: "Hello {{name}}", labels: ["production"], tags: ["js"], config: { model: "m" }, commitMessage: "first",
  });
  await client.prompt.create({ name, prompt: "Hi {{name}}" });
  await client.prompt.create({
    name: "js chat", type: "chat", labels: ["production"],
    prompt: [{ role: "system", content: "You are {{what}}" }, { type: "placeholder", name: "history" }],
  });
  const first = await client.prompt.get(name, { cacheTtlSeconds: 0 });
  const latest = await client.prompt.get(name, { label: "latest", cacheTtlSeconds: 0 });
  const chat = await client.prompt.get("js chat", { type: "chat", cacheTtlSeconds: 0 });
  await client.prompt.update({ name, version: 2, newLabels: ["production"] });
  const moved = await client.prompt.get(name, { cacheTtlSeconds: 0 });
  const fallback = await client.prompt.get("nobody's", { fallback: "Hello {{name}}", maxRetries: 0 });
  const missing = await client.prompt.get("nobody's", { maxRetries: 0 }).then(() => "found", (error) => `${error}`);
  const linked = startObservation("linked", { prompt: first, model: "m" }, { asType: "generation" });
  linked.end();
  return {
    first: JSON.parse(first.toJSON()), compiled: first.compile({ name: "Ada" }), latest: latest.version,
    chat: chat.compile({ what: "kind" }, { history: [{ role: "user", content: "before" }] }), moved: moved.version,
    fallback: [fallback.isFallback, fallback.compile({ name: "x" })], missing,
    linked: await observations(linked.traceId),
  };
});

tellOf("experiment", async () => {
  await client.api.datasets.create({ name: "js exam ü", metadata: { a: 1 } });
  for (const word of ["eins", "zwei", "drei"])
    await client.dataset.createItem({
      datasetName: "js exam ü", id: `js-${word}`, input: { word }, expectedOutput: word.toUpperCase(), metadata: { n: 1 },
    });
  const dataset = await client.dataset.get("js exam ü", { fetchItemsPageSize: 2 });
  const result = await dataset.runExperiment({
    name: "shouting", runName: "js shouting 1", description: "louder", metadata: { model: "none" },
    task: async (item) => item.input.word.toUpperCase(),
    evaluators: [async ({ output, expectedOutput }) => ({ name: "exact", value: output === expectedOutput ? 1 : 0 })],
    runEvaluators: [async ({ itemResults }) => ({ name: "count", value: itemResults.length })],
  });
  await client.flush();
  await processor.forceFlush();
  const fromStartTime = new Date(Date.now() - 300_000).toISOString();
  return {
    id: result.experimentId, run: result.runName, items: dataset.items.map((item) => item.id).sort(),
    dataset_run: result.datasetRunId ?? null, url: result.datasetRunUrl ?? null,
    results: result.itemResults.map((one) => [one.output, one.evaluations.length]),
    listed: await client.api.experiments.list({ fromStartTime, name: "js shouting 1", fields: "core,scores", scoreLimit: 10 }),
    found: await client.api.experiments.listItems({
      fromStartTime, experimentName: "js shouting 1", fields: "core,io,scores", scoreLimit: 10,
    }),
  };
});

tellOf("linked_run", async () => {
  await client.api.datasets.create({ name: "js linked" });
  await client.dataset.createItem({ datasetName: "js linked", id: "js-linked", input: 1 });
  const dataset = await client.dataset.get("js linked");
  const span = startObservation("run of an item");
  span.end();
  await processor.forceFlush();
  const made = await dataset.items[0].link(span, "a linked run", { description: "by hand", metadata: { k: "v" } });
  return {
    made, trace_id: span.traceId, runs: await client.getDatasetRuns("js linked"),
    run: await client.getDatasetRun("js linked", "a linked run"),
  };
});

tellOf("media", async () => {
  const media = new LangfuseMedia({ source: "bytes", contentBytes: PIXEL, contentType: "image/png" });
  const span = startObservation("picture", { input: { see: media } });
  span.end();
  const [read] = await observations(span.traceId);
  const id = createHash("sha256").update(PIXEL).digest("base64url").slice(0, 22);
  return {
    input: read.input, id, media: await client.fetchMedia(id),
    resolved: await client.media.resolveReferences({ obj: read.input, resolveWith: "base64DataUri" }),
    uri: `data:image/png;base64,${PIXEL.toString("base64")}`,
  };
});

tellOf("older_reads", async () => {
  const root = await propagateAttributes({ userId: "user-old", sessionId: "session-old" }, async () => {
    const span = startObservation("read the old way", { input: { q: 1 } });
    span.end();
    return span;
  });
  await processor.forceFlush();
  return {
    trace_id: root.traceId, trace: await client.fetchTrace(root.traceId),
    traces: await client.fetchTraces({ userId: "user-old" }), observation: await client.fetchObservation(root.id),
    session: await client.fetchSessions("session-old"),
  };
});

await tell();
await client.shutdown();
await provider.shutdown();

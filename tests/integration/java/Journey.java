import co.elastic.clients.elasticsearch.ElasticsearchClient;
import co.elastic.clients.elasticsearch._types.ElasticsearchException;
import co.elastic.clients.elasticsearch._types.Refresh;
import co.elastic.clients.elasticsearch._types.Retriever;
import co.elastic.clients.elasticsearch._types.query_dsl.Query;
import co.elastic.clients.elasticsearch.core.SearchRequest;
import co.elastic.clients.elasticsearch.core.search.HighlightField;
import co.elastic.clients.elasticsearch.inference.ElasticsearchInferenceClient;
import co.elastic.clients.elasticsearch.inference.HuggingFaceServiceSettings;
import co.elastic.clients.elasticsearch.inference.HuggingFaceServiceType;
import co.elastic.clients.elasticsearch.inference.HuggingFaceTaskSettings;
import co.elastic.clients.elasticsearch.inference.HuggingFaceTaskType;
import co.elastic.clients.elasticsearch.inference.InferenceEndpoint;
import co.elastic.clients.elasticsearch.inference.Message;
import co.elastic.clients.elasticsearch.inference.TaskType;
import co.elastic.clients.json.JsonData;
import co.elastic.clients.json.JsonpUtils;
import co.elastic.clients.json.jackson.JacksonJsonpMapper;
import co.elastic.clients.transport.endpoints.BinaryResponse;
import co.elastic.clients.transport.rest5_client.Rest5ClientTransport;
import co.elastic.clients.transport.rest5_client.low_level.Request;
import co.elastic.clients.transport.rest5_client.low_level.Rest5Client;
import co.elastic.clients.util.NamedValue;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.apache.hc.core5.util.Timeout;

/**
 * The official client on a journey through the inference API, as journey.py beside this folder
 * describes it: a plan on standard input, a line of JSON for each step on standard output.
 */
public final class Journey {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JacksonJsonpMapper MAPPER = new JacksonJsonpMapper();
    private static final Timeout PATIENCE = Timeout.ofMinutes(2);

    private interface Call {
        Object answer() throws IOException;
    }

    private final PrintStream output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final JsonNode plan;
    private final Rest5Client http;
    private final ElasticsearchClient client;
    private final ElasticsearchInferenceClient inference;

    private Journey(JsonNode plan, Rest5Client http, ElasticsearchClient client) {
        this.plan = plan;
        this.http = http;
        this.client = client;
        this.inference = client.inference();
    }

    public static void main(String[] arguments) throws IOException {
        JsonNode plan = JSON.readTree(System.in);
        Rest5Client http = Rest5Client.builder(URI.create(plan.get("proxy").asText()))
                .setRequestConfigCallback(request -> request.setResponseTimeout(PATIENCE))
                .setConnectionConfigCallback(connection -> connection.setSocketTimeout(PATIENCE))
                .build();
        try (var client = new ElasticsearchClient(new Rest5ClientTransport(http, MAPPER))) {
            new Journey(plan, http, client).travel();
        }
    }

    private void travel() throws IOException {
        create();
        infer();
        searchByMeaning();
        stream();
        update();
        goWrong();
        delete();
        putHuggingFace();
        everythingElse();
    }

    private void create() throws IOException {
        for (JsonNode endpoint : plan.get("endpoints")) {
            step("put " + taskType(endpoint).jsonValue(), () -> put(endpoint));
        }
        step("get", () -> inference.get(g -> g.inferenceId(id("rerank"))));
        step("get all", () -> inference.get());
    }

    private Object put(JsonNode endpoint) throws IOException {
        return inference.put(p -> p
                .taskType(taskType(endpoint))
                .inferenceId(endpoint.get("inference_id").asText())
                .inferenceConfig(configuration(endpoint.get("body"))));
    }

    private void infer() throws IOException {
        step("text_embedding", () -> inference.textEmbedding(
                t -> t.inferenceId(id("text_embedding")).input(texts("texts"))));
        step("rerank", this::rerank);
        step("completion", () -> inference.completion(
                c -> c.inferenceId(id("completion")).input(text("prompt"))));
        step("inference", () -> inference.inference(
                i -> i.inferenceId(id("text_embedding")).input(texts("texts"))));
    }

    private Object rerank() throws IOException {
        return inference.rerank(r -> r
                .inferenceId(id("rerank"))
                .query(q -> q.string(text("query")))
                .input(i -> i.string(texts("documents"))));
    }

    private void searchByMeaning() throws IOException {
        String index = text("meanings");
        step("put semantic_text", () -> client.indices().create(c -> c.index(index).mappings(
                m -> m.properties("body", p -> p.semanticText(
                        s -> s.inferenceId(id("text_embedding")))))));
        step("fill semantic_text", () -> fill(index, "body"));
        step("mapping of semantic_text", () -> client.indices().getMapping(g -> g.index(index)));
        Query meaning = Query.of(q -> q.semantic(s -> s.field("body").query(text("query"))));
        Query words = Query.of(q -> q.match(m -> m.field("body").query(text("query"))));
        Retriever leaf = Retriever.of(r -> r.standard(s -> s.query(meaning)));
        step("semantic", () -> shown(s -> s.index(index).query(meaning)));
        step("rrf", () -> shown(s -> s.index(index).retriever(r -> r.rrf(f -> f
                .retrievers(e -> e.retriever(leaf))
                .retrievers(e -> e.weighted(w -> w
                        .retriever(o -> o.standard(t -> t.query(words)))
                        .weight(2f)))))));
        step("text_similarity_reranker", () -> shown(s -> s.index(index).retriever(
                r -> r.textSimilarityReranker(t -> t
                        .inferenceId(id("rerank"))
                        .inferenceText(text("query"))
                        .field("body")
                        .rankWindowSize(3)  // as many as the endpoint ranks
                        .retriever(leaf)))));
        step("delete semantic_text", () -> client.indices().delete(d -> d.index(index)));
    }

    private Object shown(UnaryOperator<SearchRequest.Builder> search) throws IOException {
        HighlightField one = HighlightField.of(f -> f.numberOfFragments(1));
        return client.search(s -> search.apply(s)
                .highlight(h -> h.fields(NamedValue.of("body", one)))
                .fields(f -> f.field("body").format("chunks")), Map.class);
    }

    private Object fill(String index, String field) throws IOException {
        return client.bulk(b -> {
            b.refresh(Refresh.True);
            for (String text : texts("documents")) {
                b.operations(o -> o.index(i -> i.index(index).document(Map.of(field, text))));
            }
            return b;
        });
    }

    private void stream() throws IOException {
        step("stream_completion", () -> streamed(inference.streamCompletion(
                s -> s.inferenceId(id("completion")).input(text("prompt")))));
        JsonNode said = plan.get("messages").get(0);
        Message message = Message.of(m -> m
                .role(said.get("role").asText())
                .content(c -> c.string(said.get("content").asText())));
        long bound = plan.get("max_completion_tokens").asLong();
        step("chat_completion_unified", () -> streamed(inference.chatCompletionUnified(c -> c
                .inferenceId(id("chat_completion"))
                .chatCompletionRequest(r -> r.messages(message).maxCompletionTokens(bound)))));
    }

    private static Object streamed(BinaryResponse response) throws IOException {
        try (response; InputStream content = response.content()) {
            return Map.of("text", new String(content.readAllBytes(), StandardCharsets.UTF_8));
        }
    }

    private void update() throws IOException {
        // The typed request cannot do without a service, which Elasticsearch refuses in an update.
        ObjectNode whole = plan.get("update").deepCopy();
        whole.put("service", "hugging_face");
        step("update with service", () -> inference.update(u -> u
                .taskType(TaskType.Rerank)
                .inferenceId(id("rerank"))
                .inferenceConfig(configuration(whole))));
        step("update", () -> {
            Request request = new Request("PUT", "/_inference/rerank/" + id("rerank") + "/_update");
            request.setJsonEntity(plan.get("update").toString());
            try (InputStream body = http.performRequest(request).getEntity().getContent()) {
                return JSON.readTree(body);
            }
        });
        step("rerank updated", this::rerank);
    }

    private void goWrong() throws IOException {
        step("unknown id", () -> inference.textEmbedding(t -> t.inferenceId("nope").input("a")));
        step("put again", () -> put(plan.get("endpoints").get(0)));
        step("wrong task", () -> inference.completion(
                c -> c.inferenceId(id("text_embedding")).input("a")));
    }

    private void delete() throws IOException {
        for (JsonNode endpoint : plan.get("endpoints")) {
            TaskType taskType = taskType(endpoint);
            String id = endpoint.get("inference_id").asText();
            step("delete " + taskType.jsonValue(), () -> inference.delete(
                    d -> d.taskType(taskType).inferenceId(id)));
            step("get deleted " + taskType.jsonValue(), () -> inference.get(
                    g -> g.taskType(taskType).inferenceId(id)));
        }
    }

    private void putHuggingFace() throws IOException {
        for (JsonNode endpoint : plan.get("endpoints")) {
            String name = taskType(endpoint).jsonValue();
            String id = endpoint.get("inference_id").asText();
            JsonNode body = endpoint.get("body");
            step("put_hugging_face " + name, () -> inference.putHuggingFace(p -> {
                p.taskType(HuggingFaceTaskType._DESERIALIZER.parse(name))
                        .huggingfaceInferenceId(id)
                        .service(HuggingFaceServiceType.HuggingFace)
                        .serviceSettings(read(
                                body.get("service_settings"), HuggingFaceServiceSettings.class));
                return body.has("task_settings")
                        ? p.taskSettings(read(body.get("task_settings"), HuggingFaceTaskSettings.class))
                        : p;
            }));
            step("delete after put_hugging_face " + name, () -> inference.delete(
                    d -> d.inferenceId(id)));
        }
    }

    private void everythingElse() throws IOException {
        String index = text("index");
        step("bulk", () -> fill(index, "text"));
        step("search", () -> client.search(
                s -> s.index(index).query(q -> q.match(m -> m.field("text").query("paris"))),
                Map.class));
        step("delete index", () -> client.indices().delete(d -> d.index(index)));
        step("no index", () -> client.search(s -> s.index(index), Map.class));
    }

    private void step(String name, Call call) throws IOException {
        ObjectNode line = JSON.createObjectNode().put("step", name);
        try {
            Object answer = call.answer();
            boolean typed = !(answer instanceof Map || answer instanceof JsonNode);
            line.set("result", typed
                    ? JSON.readTree(JsonpUtils.toJsonString(answer, MAPPER))
                    : JSON.valueToTree(answer));
        } catch (ElasticsearchException error) {
            line.putObject("error")
                    .put("name", error.getClass().getSimpleName())
                    .put("status", error.status())
                    .put("reason", error.error().reason());
        }
        output.println(line);
    }

    private static InferenceEndpoint configuration(JsonNode body) {
        return read(body, InferenceEndpoint.class);
    }

    private static <T> T read(JsonNode value, Class<T> type) {
        return JsonData.fromJson(value.toString()).to(type, MAPPER);
    }

    private static TaskType taskType(JsonNode endpoint) {
        return TaskType._DESERIALIZER.parse(endpoint.get("task_type").asText());
    }

    private String id(String taskType) {
        return plan.get("ids").get(taskType).asText();
    }

    private String text(String name) {
        return plan.get(name).asText();
    }

    private List<String> texts(String name) {
        List<String> texts = new ArrayList<>();
        plan.get(name).forEach(text -> texts.add(text.asText()));
        return texts;
    }
}

// The official client on a journey through the inference API, as journey.py beside this folder
// describes it: a plan on standard input, a line of JSON for each step on standard output.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/elastic/go-elasticsearch/v9"
	"github.com/elastic/go-elasticsearch/v9/typedapi/core/search"
	"github.com/elastic/go-elasticsearch/v9/typedapi/inference/inference"
	"github.com/elastic/go-elasticsearch/v9/typedapi/inference/puthuggingface"
	"github.com/elastic/go-elasticsearch/v9/typedapi/inference/rerank"
	"github.com/elastic/go-elasticsearch/v9/typedapi/types"
	"github.com/elastic/go-elasticsearch/v9/typedapi/types/enums/refresh"
)

type endpoint struct {
	TaskType    string          `json:"task_type"`
	InferenceID string          `json:"inference_id"`
	Body        json.RawMessage `json:"body"`
}

type plan struct {
	Proxy               string
	Endpoints           []endpoint
	IDs                 map[string]string
	Update              json.RawMessage
	Texts               []string
	Query               string
	Documents           []string
	Prompt              string
	Messages            []types.Message
	MaxCompletionTokens int64 `json:"max_completion_tokens"`
	Index               string
	Meanings            string
}

type failure struct {
	Name   string `json:"name"`
	Status int    `json:"status"`
	Reason string `json:"reason"`
}

type streamed struct {
	Text   string `json:"text"`
	Pieces int    `json:"pieces"`
}

type journey struct {
	plan
	client *elasticsearch.TypedClient
	ctx    context.Context
	output *json.Encoder
}

func main() {
	j := journey{ctx: context.Background(), output: json.NewEncoder(os.Stdout)}
	must(json.NewDecoder(os.Stdin).Decode(&j.plan))
	client, err := elasticsearch.NewTypedClient(elasticsearch.Config{Addresses: []string{j.Proxy}})
	must(err)
	j.client = client
	j.create()
	j.infer()
	j.searchByMeaning()
	j.stream()
	j.update()
	j.goWrong()
	j.remove()
	j.putHuggingFace()
	j.everythingElse()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// step writes what a call gave; an error that Elasticsearch did not send ends the program.
func (j *journey) step(name string, result any, err error) {
	line := map[string]any{"step": name}
	if err == nil {
		line["result"] = result
	} else {
		var refused *types.ElasticsearchError
		if !errors.As(err, &refused) {
			must(fmt.Errorf("%s: %w", name, err))
		}
		line["error"] = failure{fmt.Sprintf("%T", refused), refused.Status, *refused.ErrorCause.Reason}
	}
	must(j.output.Encode(line))
}

func (j *journey) create() {
	for _, e := range j.Endpoints {
		result, err := j.put(e)
		j.step("put "+e.TaskType, result, err)
	}
	one, err := j.client.Inference.Get().InferenceId(j.IDs["rerank"]).Do(j.ctx)
	j.step("get", one, err)
	all, err := j.client.Inference.Get().Do(j.ctx)
	j.step("get all", all, err)
}

func (j *journey) put(e endpoint) (any, error) {
	var body types.InferenceEndpoint
	must(json.Unmarshal(e.Body, &body))
	return j.client.Inference.Put(e.InferenceID).TaskType(e.TaskType).Request(&body).Do(j.ctx)
}

func (j *journey) infer() {
	embedding := j.IDs["text_embedding"]
	vectors, err := j.client.Inference.TextEmbedding(embedding).Input(j.Texts...).Do(j.ctx)
	j.step("text_embedding", vectors, err)
	j.rerank("rerank")
	completion := j.client.Inference.Completion(j.IDs["completion"]).Input(j.Prompt)
	response, err := completion.Perform(j.ctx)
	j.step("completion", decode(response, err), err)
	result, err := j.client.Inference.Inference(embedding).Input(j.Texts...).Do(j.ctx)
	j.step("inference", result, err)
}

func (j *journey) rerank(name string) {
	var input types.RerankInput = j.Documents
	var query types.RerankQuery = j.Query
	body := rerank.Request{Query: query, Input: input}
	response, err := j.client.Inference.Rerank(j.IDs["rerank"]).Request(&body).Perform(j.ctx)
	j.step(name, decode(response, err), err)
}

// decode reads what Rerank and Completion give. Their Do cannot: in all releases up to v9.5.2 it
// takes the answer for a list, while Elasticsearch's is an object with the list under a name.
func decode(response *http.Response, err error) *inference.Response {
	must(err)
	defer response.Body.Close()
	result := inference.NewResponse()
	must(json.NewDecoder(response.Body).Decode(result))
	return result
}

func (j *journey) searchByMeaning() {
	embedding, reranker := j.IDs["text_embedding"], j.IDs["rerank"]
	field := &types.SemanticTextProperty{InferenceId: &embedding}
	mapping := types.TypeMapping{Properties: map[string]types.Property{"body": field}}
	made, err := j.client.Indices.Create(j.Meanings).Mappings(&mapping).Do(j.ctx)
	j.step("put semantic_text", made, err)
	filled, err := j.fill(j.Meanings, "body")
	j.step("fill semantic_text", filled, err)
	shown, err := j.client.Indices.GetMapping().Index(j.Meanings).Do(j.ctx)
	j.step("mapping of semantic_text", shown, err)
	meaning := types.Query{Semantic: &types.SemanticQuery{Field: "body", Query: j.Query}}
	words := types.Query{Match: map[string]types.MatchQuery{"body": {Query: j.Query}}}
	leaf := types.RetrieverContainer{Standard: &types.StandardRetriever{Query: &meaning}}
	weight := float32(2)
	weighted := types.RRFRetrieverComponent{
		Retriever: types.RetrieverContainer{Standard: &types.StandardRetriever{Query: &words}},
		Weight:    &weight,
	}
	found, err := j.showing().Query(&meaning).Do(j.ctx)
	j.step("semantic", found, err)
	found, err = j.showing().Retriever(&types.RetrieverContainer{Rrf: &types.RRFRetriever{
		Retrievers: []types.RRFRetrieverEntry{leaf, weighted},
	}}).Do(j.ctx)
	j.step("rrf", found, err)
	window := 3 // as many as the endpoint ranks
	ranked := &types.TextSimilarityReranker{
		Field: "body", InferenceId: &reranker, InferenceText: j.Query, Retriever: leaf,
		RankWindowSize: &window,
	}
	found, err = j.showing().Retriever(
		&types.RetrieverContainer{TextSimilarityReranker: ranked},
	).Do(j.ctx)
	j.step("text_similarity_reranker", found, err)
	deleted, err := j.client.Indices.Delete(j.Meanings).Do(j.ctx)
	j.step("delete semantic_text", deleted, err)
}

// showing begins a search that shows the best chunk of each hit, and all of them.
func (j *journey) showing() *search.Search {
	one, format := 1, "chunks"
	best := map[string]types.HighlightField{"body": {NumberOfFragments: &one}}
	return j.client.Search().Index(j.Meanings).
		Highlight(&types.Highlight{Fields: []map[string]types.HighlightField{best}}).
		Fields(&types.FieldAndFormat{Field: "body", Format: &format})
}

func (j *journey) fill(index, field string) (any, error) {
	bulk := j.client.Bulk().Index(index).Refresh(refresh.True)
	for _, text := range j.Documents {
		must(bulk.IndexOp(types.IndexOperation{}, map[string]string{field: text}))
	}
	return bulk.Do(j.ctx)
}

func (j *journey) stream() {
	// It sends "Accept: text/event-stream" with its versioned Content-Type, a pair that
	// Elasticsearch refuses.
	own, err := j.client.Inference.StreamCompletion(j.IDs["completion"]).Input(j.Prompt).Do(j.ctx)
	j.step("stream_completion with its own Content-Type", own, err)
	completion := j.client.Inference.StreamCompletion(j.IDs["completion"]).Input(j.Prompt)
	response, err := completion.Header("Content-Type", "application/json").Perform(j.ctx)
	j.step("stream_completion", read(response, err), err)
	chat := j.client.Inference.ChatCompletionUnified(j.IDs["chat_completion"])
	chat.Header("Content-Type", "application/json")
	chat.MessagesValues(j.Messages).MaxCompletionTokens(j.MaxCompletionTokens)
	response, err = chat.Perform(j.ctx)
	j.step("chat_completion_unified", read(response, err), err)
}

// read takes a stream to its end, and counts in how many pieces it arrived.
func read(response *http.Response, err error) streamed {
	must(err)
	defer response.Body.Close()
	var whole bytes.Buffer
	piece := make([]byte, 1<<16)
	for pieces := 0; ; {
		size, err := response.Body.Read(piece)
		whole.Write(piece[:size])
		if size > 0 {
			pieces++
		}
		if err == io.EOF {
			return streamed{whole.String(), pieces}
		}
		must(err)
	}
}

func (j *journey) update() {
	// Its typed request always names a service, which Elasticsearch refuses in an update.
	var body types.InferenceEndpoint
	must(json.Unmarshal(j.Update, &body))
	body.Service = "hugging_face"
	result, err := j.client.Inference.Update(j.IDs["rerank"]).TaskType("rerank").Request(&body).Do(j.ctx)
	j.step("update with service", result, err)
	raw := j.client.Inference.Update(j.IDs["rerank"]).TaskType("rerank").Raw(bytes.NewReader(j.Update))
	result, err = raw.Do(j.ctx)
	j.step("update", result, err)
	j.rerank("rerank updated")
}

func (j *journey) goWrong() {
	vectors, err := j.client.Inference.TextEmbedding("nope").Input("a").Do(j.ctx)
	j.step("unknown id", vectors, err)
	result, err := j.put(j.Endpoints[0])
	j.step("put again", result, err)
	words, err := j.client.Inference.Completion(j.IDs["text_embedding"]).Input("a").Do(j.ctx)
	j.step("wrong task", words, err)
}

func (j *journey) remove() {
	for _, e := range j.Endpoints {
		deleted, err := j.client.Inference.Delete(e.InferenceID).TaskType(e.TaskType).Do(j.ctx)
		j.step("delete "+e.TaskType, deleted, err)
		shown, err := j.client.Inference.Get().TaskType(e.TaskType).InferenceId(e.InferenceID).Do(j.ctx)
		j.step("get deleted "+e.TaskType, shown, err)
	}
}

func (j *journey) putHuggingFace() {
	for _, e := range j.Endpoints {
		var body puthuggingface.Request
		must(json.Unmarshal(e.Body, &body))
		made, err := j.client.Inference.PutHuggingFace(e.TaskType, e.InferenceID).Request(&body).Do(j.ctx)
		j.step("put_hugging_face "+e.TaskType, made, err)
		deleted, err := j.client.Inference.Delete(e.InferenceID).Do(j.ctx)
		j.step("delete after put_hugging_face "+e.TaskType, deleted, err)
	}
}

func (j *journey) everythingElse() {
	done, err := j.fill(j.Index, "text")
	j.step("bulk", done, err)
	found, err := j.client.Search().Index(j.Index).Query(&types.Query{
		Match: map[string]types.MatchQuery{"text": {Query: "paris"}},
	}).Do(j.ctx)
	j.step("search", found, err)
	deleted, err := j.client.Indices.Delete(j.Index).Do(j.ctx)
	j.step("delete index", deleted, err)
	found, err = j.client.Search().Index(j.Index).Do(j.ctx)
	j.step("no index", found, err)
}

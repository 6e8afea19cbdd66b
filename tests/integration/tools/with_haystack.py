"""Haystack's store and retriever through the proxy; prints what it finds."""

import json
import sys

from elasticsearch import Elasticsearch
from haystack import Document
from haystack_integrations.components.retrievers.elasticsearch import (
    ElasticsearchInferenceDenseRetriever,
)
from haystack_integrations.document_stores.elasticsearch import ElasticsearchDocumentStore

url, prefix, model_id = sys.argv[1:4]
texts = json.load(sys.stdin)  # by name, a question among them
question = texts.pop("question")
client = Elasticsearch(url, request_timeout=120)

answer = client.inference.text_embedding(inference_id=model_id, input=list(texts.values()))
vectors = [row["embedding"] for row in answer["text_embedding"]]
store = ElasticsearchDocumentStore(
    hosts=url, index=f"{prefix}-haystack", embedding_similarity_function="cosine"
)
store.write_documents(
    [
        Document(content=text, embedding=vector)
        for text, vector in zip(texts.values(), vectors, strict=True)
    ]
)
retriever = ElasticsearchInferenceDenseRetriever(document_store=store, inference_id=model_id)
documents = retriever.run(query=question, top_k=1)["documents"]
print(json.dumps({"dense": [one.content for one in documents]}))

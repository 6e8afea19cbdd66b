"""LangChain's stores and retriever through the proxy; prints what each finds."""

import json
import sys

from elasticsearch import Elasticsearch
from langchain_core.documents import Document
from langchain_elasticsearch import (
    DenseVectorStrategy,
    ElasticsearchEmbeddings,
    ElasticsearchRetriever,
    ElasticsearchStore,
)

url, prefix, model_id = sys.argv[1:4]
texts = json.load(sys.stdin)  # by name, a question among them
question = texts.pop("question")
client = Elasticsearch(url, request_timeout=120)
embeddings = ElasticsearchEmbeddings(model_id=model_id, client=client)


def store(name: str, strategy: DenseVectorStrategy) -> list[str]:
    """What a store finds that LangChain itself makes and fills."""
    made = ElasticsearchStore(
        index_name=f"{prefix}-{name}", client=client, embedding=embeddings, strategy=strategy
    )
    made.add_documents([Document(page_content=text) for text in texts.values()])
    return [one.page_content for one in made.similarity_search(question, k=1)]


def model_in_queries() -> list[str]:
    """What a store finds whose queries name the model: Elasticsearch embeds them."""
    strategy = DenseVectorStrategy(model_id=model_id)
    made = ElasticsearchStore(index_name=f"{prefix}-dense", client=client, strategy=strategy)
    return [one.page_content for one in made.similarity_search(question, k=1)]


def semantic() -> list[str]:
    """What the retriever finds in a semantic field."""
    index = f"{prefix}-semantic"
    field = {"type": "semantic_text", "inference_id": model_id}
    client.indices.create(index=index, mappings={"properties": {"text": field}})
    for text in texts.values():
        client.index(index=index, document={"text": text}, refresh=True)
    retriever = ElasticsearchRetriever(
        client=client,
        index_name=index,
        body_func=lambda query: {"query": {"semantic": {"field": "text", "query": query}}},
        content_field="text",
    )
    return [retriever.invoke(question)[0].page_content]


print(
    json.dumps(
        {
            "dense": store("dense", DenseVectorStrategy()),
            "hybrid": store("hybrid", DenseVectorStrategy(hybrid=True)),
            "model in queries": model_in_queries(),
            "semantic": semantic(),
        }
    )
)

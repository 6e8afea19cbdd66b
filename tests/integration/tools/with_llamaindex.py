"""LlamaIndex's store through the proxy; prints what it finds."""

import asyncio
import json
import sys

from elasticsearch import AsyncElasticsearch, Elasticsearch
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.vector_stores.elasticsearch import AsyncDenseVectorStrategy, ElasticsearchStore

url, prefix, model_id = sys.argv[1:4]
texts = json.load(sys.stdin)  # by name, a question among them
question = texts.pop("question")
client = Elasticsearch(url, request_timeout=120)


async def find() -> list[str]:
    answer = client.inference.text_embedding(inference_id=model_id, input=list(texts.values()))
    nodes = [
        TextNode(text=text, embedding=row["embedding"])
        for text, row in zip(texts.values(), answer["text_embedding"], strict=True)
    ]
    async with AsyncElasticsearch(url, request_timeout=120) as connection:
        store = ElasticsearchStore(
            index_name=f"{prefix}-llama",
            es_client=connection,
            retrieval_strategy=AsyncDenseVectorStrategy(model_id=model_id),
        )
        await store.async_add(nodes)
        found = await store.aquery(VectorStoreQuery(query_str=question, similarity_top_k=1))
    return [node.text for node in found.nodes]


print(json.dumps({"dense": asyncio.run(find())}))

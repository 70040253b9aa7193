"""The stages that `[pipeline] stages` may list, one file each."""

from pipeline.wiring import Catalog
from stages import cache, call, coalesce, limit, normalize, record, route, transform

CATALOG: Catalog = {
    "normalize": normalize.ENTRY,
    "cache": cache.ENTRY,
    "coalesce": coalesce.ENTRY,
    "route": route.ENTRY,
    "limit": limit.ENTRY,
    "call": call.ENTRY,
    "transform": transform.ENTRY,
    "record": record.ENTRY,
}

"""The stages that `[pipeline] stages` may list, one file each."""

from pipeline.wiring import Catalog
from stages import call, limit, normalize, record, route, transform

CATALOG: Catalog = {
    "normalize": normalize.ENTRY,
    "route": route.ENTRY,
    "limit": limit.ENTRY,
    "call": call.ENTRY,
    "transform": transform.ENTRY,
    "record": record.ENTRY,
}

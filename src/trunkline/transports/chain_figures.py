"""What a leg's chain says of itself, as flat numbers for the call's record."""

from trunkline.media.engine import Engine
from trunkline.media.lane import Lane

__all__ = ["chain_figures"]


def chain_figures(engine: Engine, lane: Lane | None) -> dict[str, float]:
    """Echo delay, ERLE, drift, noise and faults of an open lane; empty without a chain.

    Figures of stages that are off are left out.
    """
    row = None if lane is None else engine.chains.metrics(lane)
    if row is None or lane is None or lane.chain is None:
        return {}
    found = {"chain_frames": row.frames, "chain_faults": row.faults, "chain_mended": row.mended}
    figures = {name: float(value) for name, value in found.items()}
    if lane.chain.echo != "off":
        figures |= {
            "echo_delay_ms": row.echo_delay_ms,
            "echo_drift_ppm": row.echo_drift_ppm,
            "erle_db": row.erle_db,
        }
    if row.noise_dbov is not None:
        figures["noise_dbov"] = row.noise_dbov
    return figures

"""Grain: one grid of edges for scores that are probabilities: `fine`, and `coarse` for slices."""

import numpy as np
import pyarrow as pa

from score_bins import COARSE_BINS, FINE_BINS, calibration_bin, score_edges


def model(dbt, session):
    dbt.config(materialized="table")
    [(calibration_bins,)] = dbt.ref("int_settings").project("calibration_bins").fetchall()
    grids = {
        "fine": score_edges(FINE_BINS, calibration_bins=calibration_bins),
        "coarse": score_edges(COARSE_BINS, calibration_bins=calibration_bins),
    }
    return session.from_arrow(
        pa.table(
            {
                "grid": list(grids),
                "edges": pa.array(list(grids.values()), pa.list_(pa.float64())),
                # The grids are nested: in which bin of the coarse one is each bin of this one?
                "coarse_bins": pa.array(
                    [
                        np.searchsorted(grids["coarse"], [*edges, 1.0]).astype(np.int32)
                        for edges in grids.values()
                    ],
                    pa.list_(pa.int32()),
                ),
                "calibration_bins": pa.array(
                    [calibration_bin(edges, calibration_bins) for edges in grids.values()],
                    pa.list_(pa.int32()),
                ),
            }
        )
    )

"""How the bundled model `t1ce-tumor` is made: from image-level labels alone, evidence that lies on the lesion.

1. **Paired crops** (`paired_crops.py`): a simulated lesion on healthy tissue, cut out with what surrounds it, and the
   same crop without the lesion: they say where evidence belongs. Healthy tissue in all planes and of the tumor slices'
   own scanners: slices of pituitary tumors, away from the sella (`anatomy.py`).
2. **Whole slices** (`training.py`): real tumors with their type. The network's own average (a mean teacher) says where
   the one most suspicious region of each slice is (`pseudo.py`); there the slice's label holds, elsewhere "none".
   Lesion-free slices are "none" everywhere. The type is learnt through HR-CAM's own pooled head at the same time.
   Early and late weights are averaged, and the stage is repeated with a teacher that hardly moves.
3. **Volumes**: the same, shortly, with slices of `t1ce_volumes`, so that `leave_one_out.py` can repeat this part alone.
4. **Calibration** (`calibration.py`): temperature, volume rule and evidence levels on held-out images, then the bundle
   (`bundle.py`).

Run with ``python -m hrcam_research.t1ce_tumor --data FOLDER --out FOLDER``.
"""

#!/usr/bin/env bash
# Trains the next weights by settings.json. DATA holds malf/ and synthseg_label_maps/; WORK keeps everything between runs:
# run the script again to continue. BUDGET is the training time of all networks together, RUN the length of one run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
DATA="${DATA:?folder with malf/ and synthseg_label_maps/: make pretrain DATA=FOLDER}" WORK="${WORK:-pretrain-work}" BUDGET="${BUDGET:-160m}"
PATH="$PWD/.venv/bin:$PATH"
export nnUNet_raw="$WORK/raw" nnUNet_preprocessed="$WORK/preprocessed" nnUNet_results="$WORK/results"
mkdir -p "$nnUNet_raw" "$nnUNet_preprocessed" "$nnUNet_results"

[ -e "$nnUNet_raw/Dataset501_Malf/dataset.json" ] || python examples/prepare_malf.py "$DATA/malf" --dataset 501
[ -e "$WORK/label_maps/training_seg_20.nii.gz" ] ||
    python examples/prepare_synthseg.py "$DATA/synthseg_label_maps" "$WORK/label_maps"

# Fold 0 leaves out the four malf subjects with enlarged ventricles; four SynthSeg maps, from 16 to 90 mL, are held out too.
synthaug fit 501 --fold 0 --generator guided-ldm --name ventricles-t1-1mm \
    --settings pretrained/ventricles-t1-1mm/settings.json --budget "$BUDGET" ${RUN:+--deadline "$RUN"} \
    --label-maps "$WORK/label_maps" \
    --hold-out training_seg_04 --hold-out training_seg_10 --hold-out training_seg_15 --hold-out training_seg_18 \
    --out "$WORK/ventricles-t1-1mm"
cp "$WORK"/ventricles-t1-1mm/{*.safetensors,config.json} pretrained/ventricles-t1-1mm/

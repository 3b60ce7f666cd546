#!/usr/bin/env bash
# Train nnU-Net on real and synthetic cases, from the raw dataset to predictions. Run it again to go on after a break.
#
#   export nnUNet_raw=... nnUNet_preprocessed=... nnUNet_results=...
#   bash examples/nnunet_train.sh 501 0 [more options of synthaug precompute]
#
# DEVICE=cpu, CONFIGURATION=2d, NUM=200, SCHEDULE=uniform:20:120, RATIO=0.5, GENERATOR=ventricles-t1-1mm change the defaults;
# SYNTHAUG_EPOCHS=50 and SYNTHAUG_ITERATIONS=100 shorten the training.
set -euo pipefail
dataset=${1:?number of the dataset} fold=${2:?fold}
shift 2
device=${DEVICE:-cuda} configuration=${CONFIGURATION:-3d_fullres}
trainer=nnUNetTrainerSynthAug
name=$(basename "$(ls -d "$nnUNet_raw/Dataset$(printf %03d "$dataset")_"*)")
results="$nnUNet_results/$name/${trainer}__nnUNetPlans__$configuration"

if [ ! -f "$nnUNet_preprocessed/$name/nnUNetPlans.json" ]; then
    nnUNetv2_plan_and_preprocess -d "$dataset" -c "$configuration" --verify_dataset_integrity
fi
# makes the cases that are missing, and leaves synthaug.json beside the plans for the trainer
synthaug precompute --dataset "$dataset" --fold "$fold" --configuration "$configuration" \
    --generator "${GENERATOR:-ventricles-t1-1mm}" --num "${NUM:-200}" --schedule "${SCHEDULE:-uniform:20:120}" \
    --ratio "${RATIO:-0.5}" "$@"

continue=()
if [ -f "$results/fold_$fold/checkpoint_latest.pth" ]; then continue=(--c); fi
if [ ! -f "$results/fold_$fold/checkpoint_final.pth" ]; then
    nnUNetv2_train "$dataset" "$configuration" "$fold" -tr "$trainer" -device "$device" "${continue[@]}"
fi
tail -n 1 "$results/fold_$fold/synthaug_metrics.jsonl"

if [ -d "$nnUNet_raw/$name/imagesTs" ]; then
    nnUNetv2_predict -i "$nnUNet_raw/$name/imagesTs" -o "$results/fold_$fold/predictions" -d "$dataset" \
        -c "$configuration" -f "$fold" -tr "$trainer" -device "$device"
fi

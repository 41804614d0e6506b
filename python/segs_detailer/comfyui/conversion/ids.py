"""Which nodes are Impact Pack's, and why some that look like ours have no twin."""

from __future__ import annotations

from string import Template

__all__ = ["IMPACT_IDS", "IMPACT_PACKS", "IMPACT_SCHEDULERS", "NO_TWIN", "why_kept"]

IMPACT_PACKS = frozenset({"comfyui-impact-pack", "comfyui-impact-subpack"})
"""Ids in the Comfy Registry, which newer front ends write beside each node."""

IMPACT_SCHEDULERS = frozenset(
    {
        "AYS SDXL",
        "AYS SD1",
        "AYS SVD",
        "GITS[coeff=1.2]",
        "LTXV[default]",
        "OSS FLUX",
        "OSS Wan",
        "OSS Chroma",
    }
)
"""Names of schedules that ComfyUI knows only beside Impact Pack."""

_NAMES = """
    AddMask AnyPipeToBasic BasicPipeToDetailerPipe BasicPipeToDetailerPipeSDXL BboxDetectorCombined
    BboxDetectorCombined_v2 BboxDetectorForEach BboxDetectorSEGS BitwiseAndMask BitwiseAndMaskForEach
    BlackPatchRetryHookProvider CLIPSegDetectorProvider CfgScheduleHookProvider CombineRegionalPrompts
    CoreMLDetailerHookProvider CustomNoiseDetailerHookProvider CustomSamplerDetailerHookProvider
    DenoiseScheduleHookProvider DenoiseSchedulerDetailerHookProvider DetailerForEach DetailerForEachAutoRetry
    DetailerForEachDebug DetailerForEachDebugPipe DetailerForEachPipe DetailerForEachPipeForAnimateDiff
    DetailerHookCombine DetailerPipeToBasicPipe EditBasicPipe EditDetailerPipe EditDetailerPipeSDXL EmptySegs
    FaceDetailer FaceDetailerPipe FromBasicPipe FromBasicPipe_v2 FromDetailerPipe FromDetailerPipeSDXL
    FromDetailerPipe_v2 GITSSchedulerFuncProvider ImageListToImageBatch ImageMaskSwitch ImageReceiver ImageSender
    ImpactAssembleSEGS ImpactBoolean ImpactCombineConditionings ImpactCompare ImpactConcatConditionings
    ImpactConditionalBranch ImpactConditionalBranchSelMode ImpactConditionalStopIteration ImpactControlBridge
    ImpactControlNetApplyAdvancedSEGS ImpactControlNetApplySEGS ImpactControlNetClearSEGS ImpactConvertDataType
    ImpactCount_Elts_in_SEGS ImpactDecomposeSEGS ImpactDilateMask ImpactDilateMaskInSEGS ImpactDilate_Mask_SEG_ELT
    ImpactDummyInput ImpactEdit_SEG_ELT ImpactExecutionOrderController ImpactFlattenMask ImpactFloat
    ImpactFrom_SEG_ELT ImpactFrom_SEG_ELT_bbox ImpactFrom_SEG_ELT_crop_region ImpactGaussianBlurMask
    ImpactGaussianBlurMaskInSEGS ImpactHFTransformersClassifierProvider ImpactIPAdapterApplySEGS ImpactIfNone
    ImpactImageBatchToImageList ImpactImageInfo ImpactInt ImpactInversedSwitch ImpactIsNotEmptySEGS
    ImpactKSamplerAdvancedBasicPipe ImpactKSamplerBasicPipe ImpactLatentInfo ImpactLogger ImpactLogicalOperators
    ImpactMakeAnyList ImpactMakeImageBatch ImpactMakeImageList ImpactMakeMaskBatch ImpactMakeMaskList
    ImpactMakeTileSEGS ImpactMinMax ImpactNeg ImpactNegativeConditioningPlaceholder ImpactNodeSetMuteState
    ImpactQueueTrigger ImpactQueueTriggerCountdown ImpactRemoteBoolean ImpactRemoteInt ImpactSAM2VideoDetectorSEGS
    ImpactSEGSClassify ImpactSEGSConcat ImpactSEGSIntersectionFilter ImpactSEGSLabelAssign ImpactSEGSLabelFilter
    ImpactSEGSMerge ImpactSEGSNMSFilter ImpactSEGSOrderedFilter ImpactSEGSPicker ImpactSEGSRangeFilter
    ImpactSEGSToMaskBatch ImpactSEGSToMaskList ImpactScaleBy_BBOX_SEG_ELT ImpactSchedulerAdapter ImpactSegsAndMask
    ImpactSegsAndMaskForEach ImpactSetWidgetValue ImpactSimpleDetectorSEGS ImpactSimpleDetectorSEGSPipe
    ImpactSimpleDetectorSEGS_for_AD ImpactSleep ImpactStringSelector ImpactSwitch ImpactValueReceiver
    ImpactValueSender ImpactWildcardEncode ImpactWildcardProcessor IterativeImageUpscale IterativeLatentUpscale
    KSamplerAdvancedProvider KSamplerProvider LamaRemoverDetailerHookProvider LatentPixelScale LatentReceiver
    LatentSender LatentSwitch MMDetDetectorProvider MMDetLoader MaskDetailerPipe MaskListToMaskBatch MaskPainter
    MaskToSEGS MaskToSEGS_for_AnimateDiff MasksToMaskList MediaPipeFaceMeshToSEGS NoiseInjectionDetailerHookProvider
    NoiseInjectionHookProvider ONNXDetectorProvider ONNXDetectorSEGS PixelKSampleHookCombine
    PixelKSampleUpscalerProvider PixelKSampleUpscalerProviderPipe PixelTiledKSampleUpscalerProvider
    PixelTiledKSampleUpscalerProviderPipe PreviewBridge PreviewBridgeLatent PreviewDetailerHookProvider ReencodeLatent
    ReencodeLatentPipe RegionalPrompt RegionalSampler RegionalSamplerAdvanced RemoveImageFromSEGS RemoveNoiseMask
    SAMDetectorCombined SAMDetectorSegmented SAMLoader SEGSDetailer SEGSDetailerForAnimateDiff
    SEGSLabelFilterDetailerHookProvider SEGSOrderedFilterDetailerHookProvider SEGSPaste SEGSPreview SEGSPreviewCNet
    SEGSRangeFilterDetailerHookProvider SEGSSwitch SEGSToImageList SEGSUpscaler SEGSUpscalerPipe SegmDetectorCombined
    SegmDetectorCombined_v2 SegmDetectorForEach SegmDetectorSEGS SegsMaskCombine SegsToCombinedMask
    SetDefaultImageForSEGS StepsScheduleHookProvider StringListToString SubtractMask SubtractMaskForEach
    TiledKSamplerProvider ToBasicPipe ToBinaryMask ToDetailerPipe ToDetailerPipeSDXL TwoAdvancedSamplersForMask
    TwoSamplersForMask TwoSamplersForMaskUpscalerProvider TwoSamplersForMaskUpscalerProviderPipe
    UltralyticsDetectorProvider UnsamplerDetailerHookProvider UnsamplerHookProvider VariationNoiseDetailerHookProvider
    WildcardPromptFromString
"""
IMPACT_IDS = frozenset(_NAMES.split())
"""Ids of its nodes, from its first releases to 8.2x, and of its companion for Ultralytics."""

_ONE_PICTURE = "it looks at one picture; $SegsDetailerBboxDetector takes the same detector and follows what it finds"
_UPSCALERS = "it is for upscalers; $node is for detailers"

NO_TWIN: dict[str, Template] = {
    name: Template(text)
    for name, text in {
        "BboxDetectorSEGS": _ONE_PICTURE,
        "ONNXDetectorSEGS": _ONE_PICTURE,
        "ImpactSimpleDetectorSEGS": _ONE_PICTURE,
        "ImpactSimpleDetectorSEGSPipe": _ONE_PICTURE,
        "ImpactSimpleDetectorSEGS_for_AD": "it makes one segment of what overlaps in any two frames; "
        "$SegsDetailerBboxDetector takes the same detector and makes one of each subject",
        "UltralyticsDetectorProvider": "$SegsDetailerFaces finds faces without it, $SegsDetailerBboxDetector takes it",
        "DenoiseSchedulerDetailerHookProvider": "it goes over the cycles of a segment, of which a detailer for video "
        "has one; $SegsDetailerDenoiseHook goes over the segments",
        "DenoiseScheduleHookProvider": _UPSCALERS.replace("node", "SegsDetailerDenoiseHook"),
        "CfgScheduleHookProvider": _UPSCALERS.replace("node", "SegsDetailerCfgHook"),
        "StepsScheduleHookProvider": _UPSCALERS.replace("node", "SegsDetailerStepsHook"),
        "SEGSPreview": "it shows the crops; $SegsDetailerPreview draws boxes, regions and masks into the frames",
        "ImpactIsNotEmptySEGS": "the output any of $SegsDetailerSizeGate says the same of the segments that it lets "
        "through",
    }.items()
}
"""Why nodes that look like ours are kept; ids of ours stand for their titles."""


def why_kept(kind: str, titles: dict[str, str]) -> str:
    """Say why a node without a twin is kept.

    Parameters
    ----------
    kind : str
        Its id.
    titles : dict
        Titles of our nodes by their ids.
    """
    reason = NO_TWIN.get(kind)
    return "it has no twin here" if reason is None else reason.substitute(titles)
